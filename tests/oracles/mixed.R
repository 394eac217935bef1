# Mixed models: `lme4` with an optimiser that goes as far as doubles do, and penalised quasi-likelihood.

source("tell.R")
need("lme4", "MASS", "nlme")
close <- lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE, optCtrl = list(
  algorithm = "NLOPT_LN_BOBYQA", xtol_abs = 0, xtol_rel = 1e-15, ftol_abs = 0, ftol_rel = 1e-16, maxeval = 20000))

linear <- function(case, formula, data, group) {
  for (method in c("REML", "ML")) {
    fit <- suppressMessages(lmer(formula, data, REML = method == "REML", control = close))
    at <- summary(fit)$coefficients
    name <- paste(case, method)
    tell(name, "estimate", at[, 1])
    tell(name, "std_error", at[, 2])
    tell(name, "facts", c(log_likelihood = as.numeric(logLik(fit)), sigma = sigma(fit)))
    tell(name, "covariance", as.vector(as.matrix(VarCorr(fit)[[group]])))
  }
}
give("sleepstudy", sleepstudy)
linear("sleepstudy intercepts", Reaction ~ Days + (1 | Subject), sleepstudy, "Subject")
linear("sleepstudy slopes", Reaction ~ Days + (Days | Subject), sleepstudy, "Subject")
give("dyestuff", Dyestuff)
linear("dyestuff", Yield ~ 1 + (1 | Batch), Dyestuff, "Batch")
hospitals <- read("hospitals")
linear("hospitals", y ~ x + z + (1 | site), hospitals, "site")

# Penalised quasi-likelihood: linear mixed models of working outcomes, with a residual variance of 1 as Breslow and Clayton have
# it, until nothing moves. By maximum likelihood they are `nlme`'s, by restricted likelihood (which `nlme` does not minimise
# where the residual variance is given) made of whole matrices. MASS' glmmPQL ends where working outcomes move by a thousandth.
given <- lmeControl(sigma = 1, msMaxIter = 1000, maxIter = 1000, msTol = 1e-14, tolerance = 1e-12, returnObject = TRUE)
spread <- function(fit) sqrt(as.matrix(fit$modelStruct$reStruct[[1]])) * fit$sigma

by_nlme <- function(formula, data, group) {
  data$unit <- 1 / data$weight
  random <- reformulate(paste("1 |", group))
  fit <- lme(update(formula, working ~ .), data, random, method = "ML", weights = varFixed(~unit), control = given)
  list(eta = as.numeric(fitted(fit)), b = fixef(fit), error = sqrt(diag(vcov(fit))), spread = spread(fit))
}
by_matrices <- function(formula, data, group) {
  x <- model.matrix(formula, data)
  same <- outer(data[[group]], data[[group]], "==") * 1
  at <- function(spread) {
    inverse <- chol2inv(root <- chol(spread^2 * same + diag(1 / data$weight)))
    form <- t(x) %*% inverse %*% x
    b <- solve(form, t(x) %*% inverse %*% data$working)
    left <- inverse %*% (data$working - x %*% b)
    # The slope of the restricted criterion by the variance: tr(P same) - |same^(1/2) P z|^2.
    project <- inverse - inverse %*% x %*% solve(form, t(x) %*% inverse)
    list(b = drop(b), error = sqrt(diag(solve(form))), eta = drop(x %*% b + spread^2 * same %*% left), spread = spread,
      slope = sum(project * same) - drop(t(left) %*% same %*% left))
  }
  at(uniroot(function(spread) at(spread)$slope, c(0.1, 3), tol = 1e-12)$root)
}
pql <- function(case, formula, group, data, family, by) {
  family <- family()
  start <- glm(formula, family, data)
  eta <- predict(start)
  for (round in 1:200) {
    mean <- family$linkinv(eta)
    data$working <- eta + (start$y - mean) / family$mu.eta(eta)
    data$weight <- family$mu.eta(eta)^2 / family$variance(mean)
    fit <- by(formula, data, group)
    moved <- max(abs(fit$eta - eta))
    eta <- fit$eta
    if (moved < 1e-10) break
  }
  tell(case, "estimate", fit$b)
  tell(case, "std_error", fit$error)
  tell(case, "std_dev", fit$spread)
}
infections <- transform(bacteria, y = as.numeric(y == "y"), late = as.numeric(week > 2))
give("bacteria", infections)
give("epil", epil)
pql("pql binomial ML", y ~ trt + late, "ID", infections, binomial, by_nlme)
pql("pql binomial REML", y ~ trt + late, "ID", infections, binomial, by_matrices)
pql("pql poisson REML", y ~ trt + lage + V4, "subject", epil, poisson, by_matrices)
theirs <- suppressWarnings(glmmPQL(y ~ trt + late, ~ 1 | ID, binomial, infections, control = given, verbose = FALSE, niter = 100))
tell("glmmPQL", "estimate", fixef(theirs))
tell("glmmPQL", "std_dev", spread(theirs))
end()
