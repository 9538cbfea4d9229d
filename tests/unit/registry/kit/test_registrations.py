import pytest

from registry.kit.registrations import Registrations


def test_items_come_in_their_order_then_as_they_were_added():
    colours = Registrations("colour")
    colours.add("red", 1)
    colours.add("blue", 2, order=10)
    colours.add("green", 3)

    assert list(colours) == [2, 1, 3]
    assert [name for name, _ in colours.items()] == ["blue", "red", "green"]
    assert colours["green"] == 3
    assert "black" not in colours


def test_same_item_may_be_added_again_and_another_of_its_name_may_not():
    colours = Registrations("colour")
    colours.add("red", 1)

    colours.add("red", 1)

    with pytest.raises(ValueError, match="Another colour has the name 'red'"):
        colours.add("red", 2)


def test_changed_holds_for_the_block_only():
    colours = Registrations("colour")
    colours.add("red", 1)

    with colours.changed(red=5, blue=6):
        assert (colours["red"], colours["blue"]) == (5, 6)

    assert list(colours) == [1]
