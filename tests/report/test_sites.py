"""The sentence on the sites of a deployment."""

from fedrobust.report.page import write

SITES = [
    {"client": 2, "name": "bern", "images": 1028},
    {"client": 3, "name": "chur", "images": 16},
    {"client": 4, "name": "genf", "images": None},
]


def test_the_report_of_a_deployed_run_says_which_sites_took_part(folder, result):
    page = write(folder({**result, "sites": SITES})).read_text()
    assert (
        "Deployed: 2 of 3 sites took part, each with images that stayed there: bern (1,028 training images) and chur "
        "(16 training images). Not genf: no node that could be used when the run began. chur failed in 1 round of 3."
    ) in page


def test_a_run_that_ended_before_its_sites_were_asked_says_so(folder, result):
    sites = [{**site, "images": None} for site in SITES]
    page = write(folder({**result, "sites": sites})).read_text()
    assert "Deployed: none of 3 sites had taken part when the run ended." in page


def test_a_simulation_has_no_sites(folder, result):
    assert "Deployed:" not in write(folder(result)).read_text()
