"""What a configuration will cost, before anything is started."""
