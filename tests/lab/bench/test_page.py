"""The page of a benchmark."""

import re
from pathlib import Path

from keras_invprune_lab.bench.page import by_message, markdown, pictures
from keras_invprune_lab.bench.statistics import compare_all
from reports import RECIPE, many, report, table_of


def test_sizes_that_differ_by_seed_are_averaged_both():
    reports = [report("d0", "dense", 0.5, seed=seed) for seed in (0, 1)]
    for found, size in zip(reports, (80, 90), strict=True):
        found["weights"] = {"total": size, "nonzero": size}
    page = markdown(RECIPE, table_of(reports), reports, {}, "command")
    assert "| d0 | dense | 85 | 85 | 1.00 | 0.6 |" in page


def test_the_page_says_what_was_done_and_only_that():
    reports = [report("d0", "dense", 0.5), report("d0", "omp", 0.6, c=8.0)]
    early = {"methods": ["dense", "omp-before", "snip"], "counted": "kernels"}
    early["optimizer"] = RECIPE.optimizer.model_copy(update={"weight_decay": 0.005})
    plain = RECIPE.model_copy(update=early)
    page = markdown(plain, table_of(reports), reports, {}, "command")
    assert "weight decay 0.005" in page and "compression counts the kernels" in page
    assert not any(word in page for word in ("rewound", "τ =", "κ ="))
    page = markdown(RECIPE, table_of(reports), reports, {}, "command")
    assert "λ = 1, τ = 1, with labels; rewound to `first_epoch`;" in page


def test_plots_have_a_page_of_their_own():
    plots = [Path("out") / "epochs-d0.png", Path("out") / "filters-d0-dense.png"]
    assert pictures(plots) == (
        "# Plots\n\n![epochs-d0](epochs-d0.png)\n\n"
        "![filters-d0-dense](filters-d0-dense.png)\n"
    )
    assert pictures([]) == ""


def test_the_best_is_told_by_the_seeds_that_all_have():
    reports = [report("d0", "dense", 0.5, seed=0), report("d0", "dense", 0.1, seed=1)]
    reports.append(report("d0", "omp", 0.4, c=8))  # of the easy seed alone
    page = markdown(RECIPE, table_of(reports), reports, {}, "command")
    _, counts = page.split("### Number of seeds")
    assert "**30.00** | 40.00 |" in page and "| 2 | 1 |" in counts
    _, spreads = page.split("### Standard deviation over seeds, points")
    assert "| 28.28 |  |" in spreads
    alone = [report("d0", "dense", 0.5, seed=1), reports[-1]]
    assert "**" not in markdown(RECIPE, table_of(alone), alone, {}, "command")


def test_runs_that_fail_for_one_reason_are_told_together():
    failures = {"a/dense": "no file", "a/omp": "no file", "b/omp": "no room"}
    together = [("a/dense and 1 more", "no file"), ("b/omp", "no room")]
    assert by_message(failures) == together


def test_each_cell_of_a_page_has_one_number(tmp_path):
    reports = many([0.1, 0.2, -0.3, 0.05, 0.3, 0.15])
    reports += [{**one, "config": one["config"] | {"seed": 1}} for one in reports[:9]]
    for one in reports:
        one["history"] = {"val_accuracy": [0.1, one["test"]["accuracy"]]}
    recipe = RECIPE.model_copy(update={"reach": 0.55})
    for some in (reports, [r for r in reports if r["config"]["dataset"] == "d0"]):
        page = markdown(recipe, table_of(some), some, {}, "command")
        lines = [line for line in page.splitlines() if line.startswith("| d")]
        cells = [cell for line in lines for cell in line.strip("| ").split(" | ")[1:]]
        numbers = [cell for cell in cells if re.search(r"\d", cell)]
        assert len(numbers) > 9
        assert all(re.fullmatch(r"\*{0,2}[-+×]?[\d.,]+\*{0,2}", n) for n in numbers)


def test_the_page_has_the_means_the_best_and_what_was_published(tmp_path):
    reports = many([0.1, -0.2])
    failures = {"d2/omp": "ValueError: no"}
    page = markdown(RECIPE, table_of(reports), reports, failures, "bench mine")
    assert "| d0, ×8 | 50.00 | 40.00 | **60.00** | 61.2 |" in page
    assert "| dense | -5.00 | 1 | 0 | 1 |" in page
    assert "| d1, ×8 | IUNet | 80 | 10 | 8.00 | 0.6 |" in page
    assert "d2/omp: ValueError: no" in page


def test_the_page_says_why_it_has_no_ranks_or_no_test():
    def page(reports):
        return markdown(RECIPE, table_of(reports), reports, {}, "command")

    assert "No ranks and no test: they compare data sets" in page(many([0.1]))
    gaps = [report("d0", "dense", 0.5), report("d1", "omp", 0.5, c=8)]
    assert "No mean ranks: they need data sets that have all" in page(gaps)
    assert "No test: it needs 6 data sets." in page(many([0.1] * 5))
    assert "No " not in page(many([0.1] * 6)).split("## IUNet against")[0]


def test_one_data_set_is_told_by_seed_and_several_by_wins_and_significance():
    def header(reports):
        page = markdown(RECIPE, table_of(reports), reports, {}, "command")
        return page.split("| against |")[1].splitlines()[0]

    assert header(many([0.1])) == " points | seed 0 |"
    assert header(many([0.1, 0.2])) == " points | wins | ties | losses |"
    gaps = [0.1, 0.2, -0.3, 0.05, 0.3, 0.15]
    assert header(many(gaps)).endswith("| wins | ties | losses | p | p (Holm) |")


def test_a_method_that_lacks_data_sets_hides_nothing_of_the_others():
    reports = many([0.1, -0.2, 0.3, 0.2, 0.1, 0.4])
    of_omp = [one for one in reports if one["config"]["method"] == "omp"]
    some = [one for one in reports if one not in of_omp[1:]]
    for seed in range(1, 5):  # enough for a test over the seeds of its data set
        some += [report("d0", "omp", 0.4 + 0.01 * seed, seed=seed, c=8)]
        some += [report("d0", "iunet", 0.6 + 0.03 * seed, seed=seed, c=8)]
    table = table_of(some)
    page = markdown(RECIPE, table, some, {}, "command")
    _, (dense, omp) = compare_all(table, "accuracy", 8)
    assert f"| 5 | 0 | 1 | {dense.p:.3g} | {dense.p:.3g} |" in page
    assert omp.seeds_p is not None and "| 1 | 0 | 0 |  |  |" in page


def test_comparisons_tell_the_compression_only_where_something_is_pruned():
    dense, omp = report("d0", "dense", 0.5), report("d0", "omp", 0.6, c=8.0)
    layers = report("d0", "layers", 0.6, penalty=16.0)
    for other, said in ((omp, "At compression 8; over the"), (layers, "\nOver the")):
        table = table_of([dense, other], ["dense", other["config"]["method"]])
        page = markdown(RECIPE, table, [dense, other], {}, "command")
        assert f"{said} seeds that both have." in page
        assert page.count("At compression") == (other is omp)


def test_the_page_says_how_the_test_part_is_used():
    once = report("d0", "dense", 0.5)
    rounds = once | {"rounds": [{"sparsity": 0.5}]}
    for found, said in ((once, "is used once per run."), (rounds, "in each round.")):
        page = markdown(RECIPE, table_of([once]), [found], {}, "command")
        assert said in page and page.count("the test part") == 1
