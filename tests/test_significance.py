"""The paired bootstrap against cases that can be worked out, and what it must and must not call a difference."""

from itertools import product

import numpy as np
import pytest

from evaluation.significance import LEAST_QUERIES, paired_bootstrap, paired_ratios


def test_the_interval_is_that_of_all_resamples() -> None:
    # 4 queries have 4 ** 4 resamples, few enough to list: the drawn quantiles must be theirs
    scores, baseline = np.array([0.9, 0.2, 0.5, 0.7]), np.array([0.4, 0.4, 0.5, 0.1])
    means = [np.mean(each) for each in product(scores - baseline, repeat=4)]
    found = paired_bootstrap(scores, baseline)
    assert found.mean == pytest.approx(0.225)
    exact = np.percentile(means, (2.5, 97.5), method="inverted_cdf")
    assert (found.low, found.high) == pytest.approx(exact, abs=1e-9)


def test_the_interval_of_many_is_that_of_the_normal_distribution() -> None:
    differences = np.random.default_rng(1).normal(0.02, 0.1, 2000)
    found = paired_bootstrap(differences, np.zeros(2000))
    error = differences.std() / np.sqrt(2000)
    assert (found.low, found.high) == pytest.approx((found.mean - 1.96 * error, found.mean + 1.96 * error), abs=3e-4)


def test_a_real_improvement_is_called_one_and_a_loss_too() -> None:
    random = np.random.default_rng(3)
    baseline = random.random(200)
    better = baseline + random.normal(0.05, 0.1, 200)
    assert paired_bootstrap(better, baseline).beyond_noise
    assert paired_bootstrap(baseline, better).high < 0
    assert paired_bootstrap(baseline, better).beyond_noise


def test_noise_is_called_an_improvement_about_once_in_twenty() -> None:
    random = np.random.default_rng(4)
    called = [paired_bootstrap(random.normal(0, 0.1, 60), np.zeros(60)).beyond_noise for _ in range(100)]
    assert sum(called) <= 12


def test_equal_scores_differ_in_nothing() -> None:
    scores = np.random.default_rng(5).random(40)
    found = paired_bootstrap(scores, scores)
    assert (found.mean, found.low, found.high, found.beyond_noise) == (0, 0, 0, False)


@pytest.mark.parametrize("count", [1, 2, LEAST_QUERIES - 1])
def test_a_handful_of_queries_tells_nothing(count: int) -> None:
    assert not paired_bootstrap(np.ones(count), np.zeros(count)).beyond_noise
    assert paired_bootstrap(np.ones(LEAST_QUERIES), np.zeros(LEAST_QUERIES)).beyond_noise


def test_ratios_over_one_each_are_the_means() -> None:
    random = np.random.default_rng(6)
    scores, baseline = random.random(50), random.random(50)
    ones = paired_ratios([(s, 1) for s in scores], [(b, 1) for b in baseline])
    means = paired_bootstrap(scores, baseline)
    assert (ones.mean, ones.low, ones.high) == pytest.approx((means.mean, means.low, means.high))
    idle = paired_ratios([*((s, 1) for s in scores), (0, 0)], [*((b, 1) for b in baseline), (0, 0)])
    assert idle == ones, "a query that neither counts changes nothing"


def test_the_interval_of_ratios_is_that_of_all_resamples() -> None:
    scores, baseline = [(2, 3), (0, 1), (1, 1), (1, 2)], [(1, 1), (0, 2), (1, 1), (0, 1)]
    ratios = []
    for drawn in product(range(4), repeat=4):
        one, two = (np.array([each[n] for n in drawn]).sum(axis=0) for each in (scores, baseline))
        ratios.append(one[0] / one[1] - two[0] / two[1])
    found = paired_ratios(scores, baseline)
    assert found.mean == pytest.approx(4 / 7 - 2 / 5)
    assert (found.low, found.high) == pytest.approx(np.percentile(ratios, (2.5, 97.5), method="inverted_cdf"), abs=1e-9)
