import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnerf.errors import ConfigError
from mipnerf.evaluation.shards import Shard, parse_shard, shard_names


@given(st.integers(0, 500), st.integers(1, 60))
def test_shards_follow_each_other_and_hold_everything_once(num_items, count):
    parts = [Shard(i, count).of(num_items) for i in range(count)]
    assert [position for part in parts for position in part] == list(range(num_items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [parse_shard(name) for name in shard_names(count)] == [Shard(i, count) for i in range(count)]


@pytest.mark.parametrize("text", ["", "3", "0_of_2", "3_of_2", "1_of_0", "1/2", "-1_of_2", "1_of_2 ", "a_of_b"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match=r"is no part of a whole; give 1_of_3"):
        parse_shard(text)
