# Meta-analysis: `metafor`, with searches that go on to the end.

source("tell.R")
need("metafor")
exact <- list(threshold = 1e-14, tol = 1e-14, maxiter = 100000)

of_fit <- function(case, fit) {
  tell(case, "estimate", as.vector(fit$beta))
  tell(case, "std_error", fit$se)
  tell(case, "p_value", fit$pval)
  tell(case, "ends", c(fit$ci.lb, fit$ci.ub))
  tell(case, "facts", c(tau2 = fit$tau2, q = fit$QE, q_p_value = fit$QEp, i_squared = fit$I2, h_squared = fit$H2))
}

# Trials of BCG vaccine (13, far apart), of passive smoking (37, close), of teachers' expectations (19).
bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
all <- list(
  bcg = data.frame(yi = as.vector(bcg$yi), vi = as.vector(bcg$vi), moderator = bcg$ablat),
  smoke = data.frame(yi = as.vector(dat.hackshaw1998$yi), vi = as.vector(dat.hackshaw1998$vi), moderator = dat.hackshaw1998$year),
  teachers = data.frame(yi = as.vector(dat.raudenbush1985$yi), vi = as.vector(dat.raudenbush1985$vi),
    moderator = dat.raudenbush1985$weeks))
for (name in names(all)) {
  studies <- all[[name]]
  give(name, studies)
  for (method in c("FE", "DL", "PM", "REML", "ML", "SJ", "EB", "HE", "HS")) {
    fit <- rma(yi, vi, data = studies, method = method, control = exact)
    of_fit(paste(name, method, "normal"), fit)
    if (method == "FE") next
    for (test in c("knha", "adhoc")) {
      fit <- rma(yi, vi, data = studies, method = method, test = test, control = exact)
      of_fit(paste(name, method, test), fit)
      at <- predict(fit)
      tell(paste(name, method, test), "prediction", c(at$pi.lb, at$pi.ub))
    }
    of_fit(paste(name, method, "regression"), regression <- rma(yi, vi, mods = ~ moderator, data = studies, method = method,
      test = "knha", control = exact))
    tell(paste(name, method, "regression"), "test", c(QM = regression$QM, p = regression$QMp, r_squared = regression$R2))
  }
  fit <- rma(yi, vi, data = studies, control = exact)
  interval <- confint(fit, control = list(tol = 1e-15, maxiter = 100000))$random["tau^2", c("ci.lb", "ci.ub")]
  tell(name, "tau2_ends", interval)
  left <- leave1out(fit)
  tell(name, "left_out", left$estimate)
  tell(name, "left_out_error", left$se)
  tell(name, "left_out_tau2", left$tau2)
  funnel <- regtest(fit)
  tell(name, "egger", c(statistic = funnel$zval, p = funnel$pval, limit = funnel$est))
  first <- regtest(fit, model = "lm")
  tell(name, "egger of the first form", c(statistic = first$zval, p = first$pval, limit = first$est))
  pdf(NULL)
  place <- baujat(fit)
  tell(name, "baujat", c(place$x, place$y))
  tell(name, "deleted", rstudent(fit)$z)
}

# Each hospital's own fit, combined.
heart <- read("heart")
sites <- split(heart, heart$site)
fits <- lapply(sites, function(rows) summary(glm(disease ~ age + oldpeak, binomial, rows,
  control = list(epsilon = 1e-15, maxit = 100)))$coefficients)
for (term in rownames(fits[[1]])) {
  found <- t(sapply(fits, function(fit) fit[term, 1:2]))
  of_fit(paste("hospitals", term), rma(found[, 1], found[, 2]^2, test = "knha", control = exact))
}
end()
