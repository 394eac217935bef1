"""How an analyst asks for models, and for how the sites' own fits are combined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sojourn.analysis.statistic import Statistic
from sojourn.errors import PlanError
from sojourn.statistics.catalogue import make
from sojourn.statistics.meta import BOTH, META, POOLED
from sojourn.statistics.profile_likelihood import POINTS
from sojourn.statistics.written import given, listed, number, numbers, several


def glm(
    formula: str,
    family: str = "gaussian",
    link: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
    robust: str | None = None,
    cluster: str | None = None,
    combine: str = POOLED,
) -> Statistic:
    """A generalised linear model over all sites, equal to the fit on pooled rows to rounding.

    formula: R style, e.g. `"died ~ age + C(sex) + age:bmi + C(site)"`. family: `gaussian`, `binomial`, `poisson`,
    `gamma` or `negative_binomial`. link: `identity`, `log` (for all; negative_binomial has no other), `logit`,
    `probit`, `cloglog` (binomial), `inverse` (gamma); None for `identity`, `logit`, and `log` of the last three.
    weights: column of prior weights as in R's `glm`: the variance of a row is the dispersion over its weight; of a
    binomial proportion its number of trials; rows of weight 0 take no part. offset: column that is added to the linear
    predictor. robust: `HC0` or `HC1` for standard errors that hold where the variance is not the family's, `cluster`
    where rows of a person depend on one another; cluster: a column whose values are clusters inside each site. combine:
    `pooled`, `meta` for each site's own fit, combined as studies are, or `both`: see `meta`.
    Outcomes: binomial 0 to 1 or boolean, gamma above 0, poisson and negative_binomial not negative.
    Result: a row a term with `estimate`, `std_error`, `statistic`, `p_value`, `ci_low`, `ci_high` (95 %; t for
    gaussian and gamma, else normal). Facts: `n` (rows), `log_likelihood`, `deviance`, `aic`, `dispersion`,
    `df_residual`, `rounds_used`, `newton_decrement`; `null_deviance` for gaussian with identity link; `theta` and
    `theta_std_error` for negative_binomial, whose variance is mu + mu^2 / theta; `clusters`. Errors: ConvergenceError
    names a collinear term, or the term that separates the outcomes.
    Leaves a site, for p terms: n and p sums; then each round at most 2 + p + p^2 numbers: deviance, score and
    information, and the observed information too where the link is not canonical; for robust errors once p^2 numbers
    more, the squares of the clusters' parts of the score. Rounds: usually 5 or 6, at most 12.
    Source: P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd ed. 1989; R's `glm.fit`; J. F. Lawless, Canadian
    J. of Statistics 15, 1987 (negative binomial); J. G. MacKinnon, H. White, J. of Econometrics 29, 1985 (robust).
    """
    how = combine if combine != POOLED else None
    more = given(link=link, weights=weights, offset=offset, robust=robust, cluster=cluster, combine=how)
    return make("glm", {"formula": formula, "family": family, **more})


def firth(formula: str, family: str = "binomial", offset: str | None = None, interval: str = "wald") -> Statistic:
    """A logistic or Poisson model under Firth's penalty, whose estimates exist where a term separates the outcomes.

    formula: as of `glm`, with an intercept. family: `binomial` (logit) or `poisson` (log). offset: column that is added
    to the linear predictor. interval: `wald`, or `profile` for intervals and tests by the profile of the penalised
    likelihood, which hold under separation too. Equal to the fit on pooled rows to rounding.
    Result: a row a term as of `glm`; Wald's intervals and p-values are only a rough guide under separation. By profile
    `statistic` is the signed root of the likelihood ratio, and an end that was not found is None. Facts: `n`,
    `log_likelihood`, `penalised_log_likelihood`, `df_residual`, `rounds_used`.
    Leaves a site, for p terms: as of `glm`, and each round p numbers more, the penalty's part of the score;
    by profile then so many again for each of 3 p lines in each round.
    Rounds: usually 14 to 21, at most 24; by profile usually 10 to 20 more, at most 48.
    Source: D. Firth, Biometrika 80, 1993; G. Heinze, M. Schemper, Statistics in Medicine 21, 2002.
    """
    more = given(offset=offset, interval=interval if interval != "wald" else None)
    return make("firth", {"formula": formula, "family": family, **more})


def elastic_net(
    formula: str,
    family: str = "gaussian",
    alpha: float = 1.0,
    lambdas: Iterable[float] | None = None,
    count: int | None = None,
    standardise: bool | None = None,
    cross_validate: bool | None = None,
    weights: str | None = None,
    offset: str | None = None,
) -> Statistic:
    """Lasso and elastic net over all sites: the coefficients under a range of penalties, equal to those of pooled rows.

    formula: as of `glm`, with an intercept, which is not penalised. family: `gaussian` or
    `binomial` (logit). alpha: share of the absolute values in the penalty: 1 is the lasso, near 0 the ridge. lambdas:
    the penalties, as in glmnet and scikit-learn upon the mean of squares / 2 or of minus the log-likelihood; None for
    `count` of them (30), down to a thousandth of the one from which all coefficients are 0. standardise: whether the
    penalty is upon columns over their standard deviation (with n), as it is unless you say no. cross_validate: leave
    out one site after the other; clear plans alone. weights: column of prior weights, over whose sum the loss is a
    mean, as in glmnet; rows of weight 0 take no part. offset: column that is added to the linear predictor;
    `binomial` then with `lambdas`.
    Result: a row a lambda and term with `estimate`; there are no standard errors after a choice. Facts: `n`,
    `lambdas`, `nonzero` and `deviance_ratio` of each, `lambda_bic`, `rounds_used`; with cross-validation its curve
    `cross_validation`, `lambda_min`, `lambda_1se`.
    Leaves a site, for p terms: n, p sums, the outcome's and the weights', once 1 + p + p^2 numbers; binomial for each
    lambda, and with cross-validation for each site, so many again each round. Rounds: 2; binomial usually 7 to 10, at
    most 12.
    Source: J. Friedman, T. Hastie, R. Tibshirani, J. of Statistical Software 33(1), 2010.
    """
    more = given(lambdas=numbers(lambdas), count=count, standardise=standardise, cross_validate=cross_validate)
    more |= given(weights=weights, offset=offset)
    return make("elastic_net", {"formula": formula, "family": family, "alpha": alpha, **more})


def lmm(
    formula: str,
    group: str | None = None,
    slopes: str | Iterable[str] | None = None,
    method: str = "REML",
    weights: str | None = None,
) -> Statistic:
    """A linear mixed model over all sites: fixed effects, and random intercepts and slopes of clusters.

    formula: fixed effects as of `glm`, without an offset. group: the column that names the clusters, each inside one
    site; `site` for random effects of the sites themselves, in clear plans alone; None for persons. slopes: columns of
    numbers of the formula, up to three, whose coefficients differ between clusters. method: `REML` or `ML`. weights:
    column of prior weights, as of R's `lmer`: a row's residual has the variance sigma^2 over its weight; rows of weight
    0 take no part. Equal to the pooled fit.
    Result: a row a fixed effect as of `glm`, with normal tests. Facts: `n`, `clusters`, `log_likelihood` (restricted
    under REML), `sigma` (of the residuals), `random` (`effects`, `std_dev`, `covariance`), `intraclass_correlation`
    (without slopes), `rounds_used`, `newton_decrement`. No random effect of a cluster is ever shown.
    Leaves a site, for p terms and q random effects: n, the number of clusters, p + 2 q + 1 sums (of weights also that
    of their logarithms); each round, with
    m = q (q + 1) / 2, at most (1 + m + m (m + 1) / 2) (p + 2)^2 numbers, sums over its clusters. Of `site`: once
    (p + 1)^2 + q (p + q + 1) cross-products. Rounds: usually 6 to 10; of `site` 2.
    Source: D. Bates, M. Maechler, B. Bolker, S. Walker, J. of Statistical Software 67(1), 2015.
    """
    more = given(group=group, slopes=several(slopes), weights=weights)
    return make("lmm", {"formula": formula, "method": method, **more})


def glmm(
    formula: str,
    group: str | None = None,
    slopes: str | Iterable[str] | None = None,
    family: str = "binomial",
    method: str = "REML",
    offset: str | None = None,
) -> Statistic:
    """A logistic or Poisson mixed model by penalised quasi-likelihood: approximate, and says so.

    formula, group, slopes, method: as of `lmm`, with an intercept; clusters lie inside sites. family: `binomial`
    (logit) or `poisson` (log). offset: column that is added to the linear predictor. Equal to the same approximation on
    pooled rows.
    Result: a row a fixed effect as of `glm`, within clusters. Facts: `n`, `clusters`, `random` as of `lmm`,
    `laplace_log_likelihood` at the estimates, `rounds_used`. Variances come out too small where clusters hold few rows
    or events are rare. No random effect of a cluster is ever shown.
    Leaves a site: as of `lmm`, of working outcomes, and each round one number more; of an offset once its sum.
    Rounds: usually 12 to 20, at most 36, and 8 more for each element of the covariance beyond the first.
    Source: N. E. Breslow, D. G. Clayton, J. of the American Statistical Association 88, 1993.
    """
    more = given(group=group, slopes=several(slopes), offset=offset)
    return make("glmm", {"formula": formula, "family": family, "method": method, **more})


def meta(
    model: Statistic,
    method: str = "REML",
    interval: str = "hartung_knapp_adjusted",
    moderators: Mapping[str, Mapping[str, float]] | None = None,
    combine: str = META,
) -> Statistic:
    """A meta-analysis of each site's own fit of a model, or answer of a statistic, in plans that are not masked.

    model: e.g. `glm("died ~ age", "binomial")`; `firth`, `lmm`, `glmm`; or `prevalence`, `incidence`, a
    standardisation, `mantel_haenszel`, `t_test`, `balance` or `correlation`, whose rows are combined on the scale that
    `scale` among the facts says, with `value`, `value_low`, `value_high` read back from it. method: the variance
    between sites, `REML`, `DL`, `PM`, `ML`, `SJ`, `EB`, `HE`, `HS`, or `fixed` for none. interval: `hartung_knapp` (t),
    `hartung_knapp_adjusted` (the same with an error that is never below the normal one) or `normal`. moderators:
    numbers of the sites for a meta-regression, e.g. `{"latitude": {"uk": 52, "sg": 1}}`; they stand in the plan.
    combine: `meta`, or `both` (beside the pooled).
    Result: as of the model, of the mean over sites, and `prediction_low`, `prediction_high` (where a further site is
    expected), `tau2`, `i_squared` (percent), `sites` (how many could fit the model). Under `both` the model's columns
    are the pooled fit's, and `meta_estimate`, `meta_std_error`, `meta_p_value`, `meta_ci_low`, `meta_ci_high` stand
    beside; of a share (rate) the p-value tests one half (1). Facts: `by_site` (each site's estimates, intervals and
    weights), `n_by_site`, and under `meta` for each coefficient Q, the interval of tau² (Q profile), `fixed`,
    `leave_one_out`, `influence` (Baujat; deleted residuals), `regression`, and `egger` from ten sites on.
    Leaves a site, for p terms: n, and p estimates with their variances; each is a release of that site, by all rules
    for models, judged at its own coefficients; of a statistic nothing but its own numbers. Rounds: 1, and the model's
    own under `both`; of a statistic its own.
    Source: W. Viechtbauer, Journal of Statistical Software 36(3), 2010; J. Hartung, G. Knapp, Statistics in Medicine
    20, 2001.
    """
    if combine not in (META, BOTH):
        remedy = f"Use `{META}` or `{BOTH}`; a pooled fit is the model itself."
        raise PlanError("This is no way to combine sites in a meta-analysis.", remedy=remedy, field="meta.combine")
    said = given(method=method, interval=interval, moderators=moderators)
    return make(model.name, {**model.arguments(), "combine": combine, "meta": said})


def imputed(model: Statistic, *columns: str, m: int | None = None, using: Iterable[str] = ()) -> Statistic:
    """A model of columns that lack values, by multiple imputation inside the sites and Rubin's rules at the hub.

    model: e.g. `glm("died ~ age + bmi", "binomial")`. columns: those of the formula, the outcome's among them, in which
    a row need not be complete; every analysis of the plan that names them must fill them in. m: imputed sets, 2 to 50;
    None for 5. using: auxiliary columns that are not in the model and help to draw, complete in every row. Each site
    fills its own rows in, from a model of each column given all others of these, in ten turns of chained equations:
    numbers by predictive mean matching, booleans and categories by multinomial logistic draws.
    The seed is made of the site's own rows: equal asks give equal sets, and nobody else knows the draws.
    Result: a row a term as of the model (t, with the degrees of freedom of Barnard and Rubin), and `df` and
    `missing_information`, the fraction of it. Facts: `n`, `df_residual`, `imputed`, `m`, `using`, `rounds_used`;
    `mean_…` of what the fits tell. Approximate: the answer depends on the draws.
    Leaves a site: m times what the model's rounds give. `missing(x)` is judged as a factor of the design, persons whose
    values differ between two sets as a weight, and there must be T persons without a value for each set but one; under
    masks a site that has fewer takes part with nothing. Rounds: as of the model.
    Source: D. B. Rubin, Multiple Imputation for Nonresponse in Surveys, 1987; S. van Buuren, K. Groothuis-Oudshoorn,
    J. of Statistical Software 45(3), 2011; J. Barnard, D. B. Rubin, Biometrika 86, 1999.
    """
    said = {"method": "impute", "columns": list(columns), **given(m=number(m), using=listed(using) or None)}
    return make(model.name, {**model.arguments(), "missing": said})


def indicated(model: Statistic, *columns: str) -> Statistic:
    """A model with a column `missing(x)` for each of these columns, whose missing values a constant stands for.

    model: e.g. `glm("died ~ age + bmi", "binomial")`. columns: terms of the formula without an interaction; every
    analysis of the plan that names them must fill them in. The constant changes no other coefficient.
    Result: as of the model, and a row `missing(x)[T.True]` for each column. Facts: `indicators`. Warned of: other
    coefficients are biased in general; meant for predictions, and for values of trials from before the treatment.
    Leaves a site: as of the model with so many terms more. Rounds: as of the model.
    Source: R. H. H. Groenwold et al., Canadian Medical Association J. 184, 2012; M. J. Knol et al., J. of Clinical
    Epidemiology 63, 2010.
    """
    return make(model.name, {**model.arguments(), "missing": {"method": "indicators", "columns": list(columns)}})


def profile_likelihood(
    formula: str,
    term: str,
    low: float,
    high: float,
    family: str = "binomial",
    points: int = POINTS,
    offset: str | None = None,
) -> Statistic:
    """One coefficient from the sites' profile likelihoods, where events are too rare for estimates and their errors.

    formula: as of `glm`. term: the coefficient, by its name in the table of the model, e.g. `drug[T.True]`. low, high,
    points: the grid of its values, on the scale of the coefficient (a log ratio), fixed before any data are seen.
    family: `binomial` (logit) or `poisson` (log). offset: column that is added to the linear predictor.
    Each site's other coefficients are its own. A site without events in one group has a profile and no estimate.
    Result: a row for a value that all sites share, and one for the mean of values that differ by site (normal), with
    `estimate`, `p_value` (likelihood ratio), `ci_low`, `ci_high` (likelihood interval; None beyond the grid). Facts:
    `tau` (standard deviation between sites), `grid`, `profiles` by site, `n_by_site`.
    Leaves a site, in plans that are not masked: n, and one log-likelihood a value of the grid, less its maximum; by all
    rules for models, judged at the strictest value. Rounds: 1.
    Source: M. J. Schuemie et al., Statistical Methods in Medical Research 31, 2022.
    """
    more = given(offset=offset, points=points if points != POINTS else None)
    grid = {"term": term, "low": low, "high": high}
    return make("profile_likelihood", {"formula": formula, "family": family, **grid, **more})
