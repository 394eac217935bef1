# Regression: R's own `glm` and `lm`, MASS' negative binomial, robust errors of `sandwich`, Firth's penalty of `brglm2`.

source("tell.R")
need("MASS", "sandwich", "brglm2")
exact <- list(epsilon = 1e-300, maxit = 100)  # all hundred steps, to where doubles end

fitted_by <- function(case, fit) {
  at <- summary(fit)$coefficients
  tell(case, "estimate", at[, 1])
  tell(case, "std_error", at[, 2])
  tell(case, "p_value", at[, 4])
  tell(case, "facts", c(log_likelihood = as.numeric(logLik(fit)), deviance = deviance(fit), df_residual = df.residual(fit)))
}

# Numbers of the families, each on data that every R has.
give("menarche", transform(menarche, share = Menarche / Total))
for (link in c("logit", "probit", "cloglog")) {
  fitted_by(paste0("binomial ", link), glm(cbind(Menarche, Total - Menarche) ~ Age, binomial(link), menarche, control = exact))
}
give("epil", epil)
fitted_by("poisson", glm(y ~ lbase * trt + lage + V4, poisson, epil, control = exact))
give("insurance", transform(Insurance, line = log(Holders)))
plain <- function(x) factor(as.character(x), sort(unique(as.character(x)), method = "radix"))
rates <- transform(Insurance, Group = plain(Group), District = plain(District), Age = plain(Age))
fitted_by("poisson offset", glm(Claims ~ District + Group + Age + offset(log(Holders)), poisson, rates, control = exact))
give("quine", quine)
negative <- glm.nb(Days ~ Sex + Age + Eth + Lrn, quine, control = glm.control(1e-15, 200))
fitted_by("negative_binomial", negative)
tell("negative_binomial", "theta", c(theta = negative$theta))
give("boston", Boston)
for (link in c("log", "inverse")) fitted_by(paste("gamma", link), glm(medv ~ rm + lstat + ptratio, Gamma(link), Boston, control = exact))
fitted_by("gamma identity", glm(medv ~ lstat + chas, Gamma("identity"), Boston, start = c(30, -0.5, 1),
  control = list(epsilon = 1e-300, maxit = 400)))  # scoring that overshoots: a step is seven tenths of the one before
fitted_by("gaussian weights", lm(medv ~ rm + lstat + ptratio + chas, Boston, weights = dis))
give("birthwt", birthwt)
fitted_by("binomial log", glm(low ~ smoke + ht + ui, binomial("log"), birthwt, start = c(-1.5, 0, 0, 0), control = exact))
fitted_by("binomial identity", glm(low ~ smoke + ht + ui, binomial("identity"), birthwt, control = exact))

# Errors that hold where the variance is not the family's.
seizures <- glm(y ~ trt + lage + V4, poisson, epil, control = exact)
tell("robust", "HC0", sqrt(diag(vcovHC(seizures, "HC0"))))
tell("robust", "HC1", sqrt(diag(vcovHC(seizures, "HC1"))))
tell("robust", "cluster", sqrt(diag(vcovCL(seizures, epil$subject, "HC1"))))

# Firth's penalty, with outcomes that a term separates, and without.
give("endometrial", endometrial)
firth <- function(formula, family, data) {
  glm(formula, family, data, method = "brglmFit", type = "AS_mean", epsilon = 1e-12, maxit = 2000, slowit = 1)
}
for (case in list(list("firth binomial", HG ~ NV + PI + EH, binomial, endometrial), list("firth poisson", y ~ trt + lage + V4, poisson, epil))) {
  at <- summary(firth(case[[2]], case[[3]], case[[4]]))$coefficients
  tell(case[[1]], "estimate", at[, 1])
  tell(case[[1]], "std_error", at[, 2])
}

# A profile of one coefficient at each site: the others are the likeliest at each value.
births <- read("birthwt_sites")
for (value in seq(-2, 3, 0.25)) for (site in unique(births$site)) {
  fit <- suppressWarnings(glm(low ~ lwt, binomial, births[births$site == site, ], offset = value * smoke, control = exact))
  tell("profile", paste(site, value), c(log_likelihood = as.numeric(logLik(fit))))
}
end()
