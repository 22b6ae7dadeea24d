"""How fast this machine trains and renders, what share of the possible that is, and how long the runs will take."""
