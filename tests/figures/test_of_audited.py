"""The figure of audited defences: its front, and names that do not lie on each other."""

from fedrobust.figures.of_audited import SIDES, _box, _shared, figures_of_audits, points
from fedrobust.sweeps.audited import Audited, AuditedTable


def test_the_front_has_what_no_other_beats_in_both():
    means = [("plain", 0.9, 0.1, 1), ("PGD", 0.8, 0.5, 6), ("worse", 0.8, 0.4, 7), ("equal", 0.8, 0.5, 9)]
    found = {one["combination"]: one["front"] for one in points(means)}
    assert found == {"plain": True, "PGD": True, "worse": False, "equal": True}
    assert points([]) == []


def test_names_of_dots_that_lie_together_stand_on_different_sides():
    found = points(
        [("near", 0.85, 0.5, 1), ("close", 0.8502, 0.5, 1), ("by", 0.8504, 0.5005, 1), ("far", 0.7, 0.5, 1)]
    )
    assert [one["combination"] for one in found] == ["near", "close", "by", "far"], (
        "in the order of the table"
    )
    assert len({one["side"] for one in found[:3]}) == 3
    assert found[3]["side"] == "above right", "at the bottom: clear of the scale"


def test_a_name_at_the_right_edge_stands_within_the_field():
    found = points([("at the right edge of the field", 0.899, 0.5, 1), ("left", 0.85, 0.1, 1)])
    assert found[0]["side"] == "left"
    assert found[0]["label"] == "at the right edge of the field"


def test_a_name_without_room_is_left_out_unless_it_is_on_the_front():
    crowd = [(f"a long name, number {place}", 0.85 + 1e-6 * place, 0.5, 1) for place in range(12)]
    found = points([*crowd, ("best", 0.85, 0.52, 1)])
    labels = {one["combination"]: one["label"] for one in found}
    assert labels["best"] == "best"
    assert labels["a long name, number 11"] == "a long name, number 11", (
        "on the front: the most clean accuracy"
    )
    assert 0 < sum(not label for label in labels.values()) < 12
    boxes = [
        _box(one["label"], one["side"], 0, 0)
        for one in found
        if one["label"] and one["combination"] != "best"
    ]
    assert all(_shared(one, other) == 0 for place, one in enumerate(boxes) for other in boxes[:place])


def test_the_place_of_a_name_is_where_it_is_drawn():
    assert SIDES["left"]["align"] == "right"
    assert _box("name", "left", 100, 50)[2] == 90, "it ends left of the dot"
    assert _box("name", "right", 100, 50)[0] == 110
    assert _shared((0, 0, 2, 2), (1, 1, 3, 3)) == 1
    assert _shared((0, 0, 1, 1), (1, 1, 3, 3)) == 0


def test_a_table_of_one_combination_has_no_figure_and_places_have_one_each():
    one = Audited("plain", (0.9,), (0.1,), None, (), "", None, None, {}, 3.0, 50, True)
    two = Audited("pgd", (0.8,), (0.5,), None, (), "plain", None, None, {}, None, 50, True)
    table = AuditedTable("data.name = a", "plain", 0.5, (one, two))
    assert figures_of_audits([AuditedTable("", "plain", 0.5, (one,))]) == []
    assert [each.name for each in figures_of_audits([table])] == ["audited"]
    found = figures_of_audits([table, table])
    assert [each.name for each in found] == ["audited-0", "audited-1"]
    assert found[0].title == "Under the audit: data.name = a"
    assert [row["size"] for row in found[0].rows] == [3.0, 0.0]
