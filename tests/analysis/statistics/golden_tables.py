#!/usr/bin/python3
"""Writes golden_tables.txt: figures of SciPy, statsmodels and R over random tables with zero cells,
empty arms and single runs, which the statistics are held to.

    apt-get install python3-scipy python3-statsmodels r-cran-lme4
    tests/analysis/statistics/golden_tables.py > tests/analysis/statistics/golden_tables.txt

One case a line: method, inputs, "=", expected figures. Data sets follow their method, one row a
line, and end with "end". The seed is fixed; only versions of the libraries change the file.
"""
import itertools
import random
import subprocess
import sys
import tempfile

import numpy
import scipy
import scipy.special
import statsmodels
import statsmodels.api
from scipy import integrate, optimize, stats
from scipy.spatial.distance import cdist
from statsmodels.stats import contingency_tables, multitest, proportion

random.seed(20261128)
numpy.random.seed(20261128)


def line(method, inputs, outputs):
    def text(values):
        return " ".join(repr(float(v)) if isinstance(v, (float, numpy.floating)) else str(v) for v in values)
    print(f"{method} {text(inputs)} = {text(outputs)}")


def random_arm(most):
    n = random.choice([1, 2, random.randint(3, most)])
    return random.choice([0, n, random.randint(0, n), min(n, random.randint(0, 4))]), n


def single_rates():
    for k, n in [(0, 1), (1, 1)] + [random_arm(400) for _ in range(60)]:
        line("wilson", (k, n), proportion.proportion_confint(k, n, method="wilson"))
        line("clopper_pearson", (k, n), proportion.proportion_confint(k, n, method="beta"))


def two_arms():
    arms = [(0, 1, 0, 1), (1, 1, 0, 1), (0, 1, 7, 9)]
    arms += [random_arm(120) + random_arm(120) for _ in range(80)]
    for k1, n1, k2, n2 in arms:
        table = [[k1, k2], [n1 - k1, n2 - k2]]  # groups in columns
        line("fisher", (k1, n1, k2, n2), [stats.fisher_exact(table)[1]])
        line("newcombe", (k1, n1, k2, n2),
             proportion.confint_proportions_2indep(k2, n2, k1, n1, method="newcomb", compare="diff"))
    for k1, n1, k2, n2 in [a for a in arms if a[1] <= 40 and a[3] <= 40][:14]:
        # SciPy's table holds the groups in columns; its one-sided p-values are doubled, as here.
        less = stats.boschloo_exact([[k1, k2], [n1 - k1, n2 - k2]], alternative="less", n=512).pvalue
        more = stats.boschloo_exact([[k1, k2], [n1 - k1, n2 - k2]], alternative="greater", n=512).pvalue
        line("boschloo", (k1, n1, k2, n2), [min(1.0, 2 * min(less, more))])


def pairs():
    splits = [(0, 0), (0, 1), (1, 0), (5, 5)]
    splits += [(random.randint(0, 40), random.randint(0, 40)) for _ in range(40)]
    splits += [(0, random.randint(1, 60)) for _ in range(6)]
    for b, c in splits:
        if b + c > 0:
            exact = contingency_tables.mcnemar([[3, b], [c, 4]], exact=True).pvalue
            mid = 2 * stats.binom.cdf(min(b, c), b + c, 0.5) - stats.binom.pmf(min(b, c), b + c, 0.5)
            line("mcnemar", (b, c), (min(1.0, exact), 1.0 if b == c else min(1.0, mid)))
        for prior in (0.5, 1.0, 3.0):
            log_e = (scipy.special.betaln(prior + c, prior + b) - scipy.special.betaln(prior, prior)
                     + (b + c) * numpy.log(2))
            line("log_e_value", (b, c, prior), [log_e])


def families():
    for size in [2, 3, 5, 8, 11]:
        for _ in range(4):
            values = [random.choice([0.0, 0.25, -0.25, round(random.gauss(0.1, 0.3), 3)]) for _ in range(size)]
            total = abs(sum(values))
            signs = [abs(sum(s * v for s, v in zip(p, values))) >= total - 1e-12
                     for p in itertools.product((1, -1), repeat=size)]
            line("sign_flip", [size] + values, [sum(signs) / len(signs)])
            if len(set(values)) > 1:
                mean = numpy.mean(values)
                error = stats.sem(values)
                low, high = stats.t.interval(0.95, size - 1, mean, error)
                line("family_mean", [size] + values, (mean, error, low, high, stats.ttest_1samp(values, 0).pvalue))


def permutations():
    for n1, n2 in [(2, 4), (3, 3), (4, 6), (5, 5)]:
        for _ in range(3):
            x = [round(random.gauss(0, 1), 2) for _ in range(n1)]
            y = [round(random.gauss(0.7, 1), 2) for _ in range(n2)]
            # Two-sided by distance from the mean over arrangements, which is zero here.
            result = stats.permutation_test((x, y), lambda a, b, axis: abs(numpy.mean(b, axis) - numpy.mean(a, axis)),
                                            vectorized=True, n_resamples=numpy.inf, alternative="greater")
            line("permutation", [n1, n2] + x + y, [numpy.mean(y) - numpy.mean(x), result.pvalue])


def posteriors():
    cases = [(0, 0, 0, 0), (0, 1, 1, 1), (0, 20, 0, 20), (3, 60, 12, 60), (0, 59, 4, 61), (40, 400, 61, 410)]
    for (k1, n1, k2, n2), (a, b) in itertools.product(cases, [(1.0, 1.0), (0.5, 0.5)]):
        p1 = stats.beta(a + k1, b + n1 - k1)
        p2 = stats.beta(a + k2, b + n2 - k2)
        # P(second > first) by integration over the first rate's quantiles, which has no singularity.
        higher, _ = integrate.quad(lambda u: p2.sf(p1.ppf(u)), 0, 1, epsabs=1e-13, epsrel=1e-13, limit=2000)
        line("posterior", (k1, n1, k2, n2, a, b), (p2.mean() - p1.mean(), higher))


def multiplicity():
    for size in [1, 2, 7, 40]:
        values = [round(random.random() ** 3, 6) for _ in range(size)]
        line("holm", [size] + values, multitest.multipletests(values, method="holm")[1])
        line("benjamini_hochberg", [size] + values, multitest.multipletests(values, method="fdr_bh")[1])


def logistic():
    for clusters, per_cluster, base in [(8, 12, -1.0), (12, 20, -1.6), (20, 10, 0.3)]:
        rows = []
        for g in range(clusters):
            u = random.gauss(0, 0.8)
            for i in range(per_cluster):
                x1 = i % 2
                x2 = (i // 2) % 2
                eta = base + u + 0.8 * x1 + 0.4 * x2 + 0.5 * x1 * x2
                rows.append((g, x1, x2, int(random.random() < 1 / (1 + numpy.exp(-eta)))))
        data = numpy.array(rows, dtype=float)
        y, groups = data[:, 3], data[:, 0].astype(int)
        design = numpy.column_stack([numpy.ones(len(rows)), data[:, 1], data[:, 2], data[:, 1] * data[:, 2]])
        model = statsmodels.api.GLM(y, design, family=statsmodels.api.families.Binomial())
        fit = model.fit(tol=1e-14, maxiter=200, cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True})
        # Average marginal effect of the first factor, and the interaction in points, by the delta
        # method with statsmodels' own coefficients and covariance.
        beta, covariance = numpy.asarray(fit.params), numpy.asarray(fit.cov_params())

        def effect(settings):
            value, gradient = 0.0, numpy.zeros(4)
            for weight, x1, x2 in settings:
                a = data[:, 1] if x1 is None else numpy.full(len(rows), float(x1))
                b = data[:, 2] if x2 is None else numpy.full(len(rows), float(x2))
                moved = numpy.column_stack([numpy.ones(len(rows)), a, b, a * b])
                rate = 1 / (1 + numpy.exp(-moved @ beta))
                value += weight * rate.mean()
                gradient += weight * (moved * (rate * (1 - rate))[:, None]).mean(axis=0)
            return value, numpy.sqrt(gradient @ covariance @ gradient)

        main = effect([(1, 1, None), (-1, 0, None)])
        interaction = effect([(1, 1, 1), (-1, 0, 1), (-1, 1, 0), (1, 0, 0)])
        line("logistic", [len(rows)], list(beta) + list(numpy.asarray(fit.bse)) + [fit.llf] + list(main) + list(interaction))
        for row in rows:
            print(*row)
        print("end")
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as csv:
            csv.write("g,a,b,y\n" + "\n".join(",".join(map(str, r)) for r in rows) + "\n")
            csv.flush()
            for nodes in (1, 25):
                script = (f'suppressMessages(library(lme4)); d <- read.csv("{csv.name}");'
                          f'f <- glmer(y ~ a * b + (1 | g), d, family = binomial, nAGQ = {nodes},'
                          'control = glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e6)));'
                          'cat(sprintf("%.12g", c(fixef(f), sqrt(diag(vcov(f))), sqrt(VarCorr(f)$g[1]))))')
                found = subprocess.run(["Rscript", "-e", script], check=True, capture_output=True, text=True).stdout
                line("mixed_logistic", [nodes], [float(v) for v in found.split()])


def trace_statistics():
    for n1, n2, features in [(4, 5, 2), (10, 8, 5)]:
        x = numpy.round(numpy.random.normal(0, 1, (n1, features)), 3)
        y = numpy.round(numpy.random.normal(0.8, 1, (n2, features)), 3)
        energy = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
        together = numpy.vstack([x, y])
        distances = cdist(together, together)
        above = numpy.sort(distances[numpy.tril_indices(n1 + n2, -1)] ** 2)
        kernel = numpy.exp(-distances ** 2 / (2 * above[len(above) // 2]))
        numpy.fill_diagonal(kernel, 0)
        mmd = (kernel[:n1, :n1].sum() / (n1 * (n1 - 1)) + kernel[n1:, n1:].sum() / (n2 * (n2 - 1))
               - 2 * kernel[:n1, n1:].mean())
        # Leave-one-out ridge predictions, one fit for each run left out.
        gram = together @ together.T
        scale = numpy.trace(gram) / len(together)
        gram = gram + max(scale, 1.0)
        labels = numpy.array([-1.0] * n1 + [1.0] * n2)
        scores = []
        for i in range(n1 + n2):
            others = [j for j in range(n1 + n2) if j != i]
            inside = gram[numpy.ix_(others, others)] + (max(scale, 1e-9) + 1e-9) * numpy.eye(len(others))
            scores.append(gram[i, others] @ numpy.linalg.solve(inside, labels[others]))
        wins = [(s > f) + (s == f) / 2 for s in scores[n1:] for f in scores[:n1]]
        line("trace_tests", [n1, n2, features], (energy, mmd, float(numpy.mean(wins))))
        for row in together:
            print(*row)
        print("end")


# What follows has its own generator each, so that it can be added to without moving what stands above.
def paired_intervals(chance):
    """Tango's score interval and test, by numerical maximisation of the likelihood."""
    cases = [(0, 0, 0, 1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 20), (0, 0, 10, 0), (0, 10, 0, 0)]
    cases += [tuple(chance.choice([0, chance.randint(0, 5), chance.randint(0, 60)]) for _ in range(4)) for _ in range(30)]
    for both, b, c, neither in [x for x in cases if sum(x) > 0]:
        n = both + b + c + neither

        def statistic(delta):
            low, high = max(0.0, -delta), (1 - delta) / 2  # of the rate of "first only"

            def slope(q):
                def share(count, rate, factor=1.0):
                    return factor * count / max(rate, 1e-300) if count else 0.0
                return share(b, q) + share(c, q + delta) - share(both + neither, 1 - 2 * q - delta, 2.0)
            q = low if slope(low + 1e-15) <= 0 else high if slope(high - 1e-15) >= 0 else \
                optimize.brentq(slope, low + 1e-15, high - 1e-15, xtol=1e-16)
            variance = n * (2 * q + delta * (1 - delta))
            return (c - b - n * delta) / numpy.sqrt(variance) if variance > 0 else 0.0
        gap, z = (c - b) / n, stats.norm.ppf(0.975)
        low = -1.0 if gap == -1 else optimize.brentq(lambda d: statistic(d) - z, -1 + 1e-12, gap - 1e-12, xtol=1e-13)
        high = 1.0 if gap == 1 else optimize.brentq(lambda d: statistic(d) + z, gap + 1e-12, 1 - 1e-12, xtol=1e-13)
        line("tango", (both, b, c, neither), (low, high))
        line("tost_paired", (both, b, c, neither, 0.1),
             (stats.norm.sf(statistic(-0.1)), stats.norm.cdf(statistic(0.1))))


def equivalence(chance):
    """Miettinen and Nurminen's score test, the constrained rate by numerical maximisation."""
    for _ in range(40):
        k1, n1, k2, n2 = own_arm(chance, 150) + own_arm(chance, 150)

        def statistic(delta):
            def slope(p):
                def share(count, rate):
                    return count / max(rate, 1e-300) if count else 0.0
                return share(k1, p) + share(k2, p + delta) - share(n1 - k1, 1 - p) - share(n2 - k2, 1 - p - delta)
            low, high = max(0.0, -delta), min(1.0, 1 - delta)
            p = low if slope(low + 1e-15) <= 0 else high if slope(high - 1e-15) >= 0 else \
                optimize.brentq(slope, low + 1e-15, high - 1e-15, xtol=1e-16)
            variance = (p * (1 - p) / n1 + (p + delta) * (1 - p - delta) / n2) * (n1 + n2) / (n1 + n2 - 1)
            return (k2 / n2 - k1 / n1 - delta) / numpy.sqrt(variance)
        line("tost", (k1, n1, k2, n2, 0.1), (stats.norm.sf(statistic(-0.1)), stats.norm.cdf(statistic(0.1))))


def own_arm(chance, most):
    n = chance.choice([1, 2, chance.randint(3, most)])
    return chance.choice([0, n, chance.randint(0, n), min(n, chance.randint(0, 4))]), n


def sizes(chance):
    for _ in range(40):
        k1, n1, k2, n2 = own_arm(chance, 120) + own_arm(chance, 120)
        cells = numpy.array([[k2, n2 - k2], [k1, n1 - k1]], dtype=float)
        if cells.min() == 0:
            cells += 0.5  # to every cell; statsmodels' own shift_zeros fills the empty ones alone
        table = contingency_tables.Table2x2(cells, shift_zeros=False)
        line("odds_ratio", (k1, n1, k2, n2), (table.oddsratio, *table.oddsratio_confint()))
        line("risk_ratio", (k1, n1, k2, n2), (table.riskratio, *table.riskratio_confint()))
        line("cohens_h", (k1, n1, k2, n2), [proportion.proportion_effectsize(k2 / n2, k1 / n1)])


def mid_p_sign_flips(chance):
    for size in [2, 3, 5, 6, 8, 11]:
        for _ in range(4):
            values = [chance.choice([0.0, 0.25, -0.25, round(chance.gauss(0.1, 0.3), 3)]) for _ in range(size)]
            total = abs(sum(values))
            sums = [abs(sum(s * v for s, v in zip(p, values))) for p in itertools.product((1, -1), repeat=size)]
            least = sum(s >= total - 1e-12 for s in sums) / len(sums)
            beyond = sum(s > total + 1e-12 for s in sums) / len(sums)
            line("sign_flip_mid_p", [size] + values, [1.0 if least == 1 else (least + beyond) / 2])


def strata(chance):
    """The sum of hypergeometric numbers over blocks, two-sided by distance from its mean."""
    for blocks in [1, 2, 2, 3, 3, 4, 5, 5]:
        cells = [own_arm(chance, 60) + own_arm(chance, 60) for _ in range(blocks)]
        if blocks > 1 and chance.random() < 0.5:
            cells[0] = (0, 0) + cells[0][2:]  # a block with one arm alone
        chances, observed, expected = numpy.array([1.0]), 0, 0.0
        for k1, n1, k2, n2 in cells:
            law = stats.hypergeom(n1 + n2, k1 + k2, n2)
            chances = numpy.convolve(chances, law.pmf(numpy.arange(n2 + 1)))
            observed, expected = observed + k2, expected + law.mean()
        extreme = abs(numpy.arange(len(chances)) - expected) >= abs(observed - expected) - 1e-9
        line("permutation_of_counts", [v for cell in cells for v in cell], [min(1.0, chances[extreme].sum())])


def differences_in_differences(chance):
    for _ in range(20):
        cells = [own_arm(chance, 80) for _ in range(4)]

        def range_at(level):
            (k1, n1), (k2, n2), (k3, n3), (k4, n4) = cells
            t = proportion.confint_proportions_2indep(k2, n2, k1, n1, method="newcomb", compare="diff", alpha=level)
            c = proportion.confint_proportions_2indep(k4, n4, k3, n3, method="newcomb", compare="diff", alpha=level)
            gap, other = k2 / n2 - k1 / n1, k4 / n4 - k3 / n3
            return gap - other - numpy.hypot(gap - t[0], c[1] - other), gap - other + numpy.hypot(t[1] - gap, other - c[0])
        (k1, n1), (k2, n2), (k3, n3), (k4, n4) = cells
        line("difference_in_differences", [v for cell in cells for v in cell],
             ((k2 / n2 - k1 / n1) - (k4 / n4 - k3 / n3), *range_at(0.05)))


print(f"# scipy {scipy.__version__}, statsmodels {statsmodels.__version__}, numpy {numpy.__version__}; "
      + subprocess.run(["Rscript", "-e", 'cat(R.version.string, "lme4", as.character(packageVersion("lme4")))'],
                       check=True, capture_output=True, text=True).stdout)
print("# made by golden_tables.py")
for part in (single_rates, two_arms, pairs, families, permutations, posteriors, multiplicity, logistic,
             trace_statistics):
    part()
for seed, part in enumerate((paired_intervals, equivalence, sizes, mid_p_sign_flips, strata, differences_in_differences)):
    part(random.Random(20261129 + seed))
sys.stdout.flush()
