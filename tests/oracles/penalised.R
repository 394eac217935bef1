# Lasso and elastic net: `glmnet`. Its gaussian family takes the outcome over its standard deviation, in which the two parts of
# the penalty scale differently; so the outcome is given that way.

source("tell.R")
need("glmnet", "MASS")
glmnet.control(fdev = 0, devmax = 1)
births <- birthwt[, c("age", "lwt", "smoke", "ptl", "ht", "ui", "ftv")]
houses <- Boston[, setdiff(names(Boston), "medv")]
over <- function(y) (y - mean(y)) / sqrt(mean((y - mean(y))^2))
give("births", cbind(births, y = birthwt$low))
give("houses", cbind(houses, y = over(Boston$medv)))

path <- function(case, x, y, family, lambdas) for (alpha in c(1, 0.5)) for (standardise in c(TRUE, FALSE)) {
  fit <- glmnet(as.matrix(x), y, family, alpha = alpha, lambda = lambdas, standardize = standardise, thresh = 1e-22, maxit = 1e7)
  at <- as.matrix(coef(fit))
  for (place in seq_along(lambdas)) tell(paste(case, alpha, standardise), place, at[, place])
  tell(paste(case, alpha, standardise), "deviance_ratio", fit$dev.ratio)
}
path("houses", houses, over(Boston$medv), "gaussian", c(0.5, 0.2, 0.1, 0.05, 0.01, 0.001))
path("births", births, birthwt$low, "binomial", c(0.1, 0.05, 0.02, 0.01, 0.001))
end()
