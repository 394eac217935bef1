# Tables, rates and means: base R; Breslow and Day's test and ratios over strata of `metafor`.

source("tell.R")
need("metafor")

# Admissions to Berkeley by department, and stratified ratios of three measures.
strata <- aperm(UCBAdmissions, c(2, 1, 3))[c("Female", "Male"), c("Admitted", "Rejected"), ]
of_test <- function(case, test) tell(case, "test", c(statistic = unname(test$statistic)[1], p = unname(test$p.value)))
for (correct in c(TRUE, FALSE)) {
  test <- mantelhaen.test(strata, correct = correct)
  of_test(paste("admissions", correct), test)
}
tell("admissions", "odds", c(test$estimate, test$conf.int))
ends <- function(measure) {
  fit <- rma.mh(measure = measure, ai = strata[1, 1, ], bi = strata[1, 2, ], ci = strata[2, 1, ], di = strata[2, 2, ], correct = FALSE)
  tell(paste("admissions", measure), "estimate", c(fit$beta, fit$se))
  fit
}
odds <- ends("OR"); ends("RR"); ends("RD")
tell("admissions", "homogeneity", c(odds$BD, odds$BDp, odds$TA, odds$TAp))
counts <- as.data.frame(UCBAdmissions)
give("admissions", counts[rep(seq_len(nrow(counts)), counts$Freq), c("Admit", "Gender", "Dept")])

# The hospitals' patients.
heart <- read("heart")
two <- table(heart$male, heart$disease)
of_test("chi squared", chisq.test(two, correct = FALSE))
of_test("chi squared, corrected", chisq.test(two, correct = TRUE))
tell("fisher", "p", fisher.test(two)$p.value)
few <- table(heart$male[1:28], heart$disease[1:28])
tell("fisher of few", "p", fisher.test(few)$p.value)
pain <- table(heart$cp, heart$disease)
of_test("chi squared of pain", chisq.test(pain, correct = FALSE))
grades <- table(cut(heart$age, c(0, 45, 55, 65, 100)), heart$disease)
of_test("trend", prop.trend.test(grades[, "1"], rowSums(grades)))
of_test("trend of scores", prop.trend.test(grades[, "1"], rowSums(grades), c(1, 2, 4, 7)))
cases <- sum(heart$disease)
tell("share", "exact", binom.test(cases, nrow(heart))$conf.int)
tell("share", "wilson", prop.test(cases, nrow(heart), correct = FALSE)$conf.int)
for (equal in c(TRUE, FALSE)) {
  test <- t.test(age ~ male, heart, var.equal = equal)
  tell(paste("t", equal), "test", c(statistic = -unname(test$statistic), df = unname(test$parameter), p = test$p.value,
    low = -test$conf.int[2], high = -test$conf.int[1]))
  test <- oneway.test(age ~ cp, heart, var.equal = equal)
  tell(paste("anova", equal), "test", c(statistic = unname(test$statistic), within = unname(test$parameter)[2], p = test$p.value))
}
test <- cor.test(heart$age, heart$num)
tell("correlation", "test", c(estimate = unname(test$estimate), statistic = unname(test$statistic), p = test$p.value,
  low = test$conf.int[1], high = test$conf.int[2]))
tell("quantiles", "age", quantile(heart$age, c(0.05, 0.25, 0.5, 0.75, 0.95), type = 7))
tell("describe", "age", c(mean = mean(heart$age), sd = sd(heart$age)))
tell("histogram", "age", hist(heart$age, seq(25, 80, 5), plot = FALSE, right = FALSE, include.lowest = TRUE)$counts)
men <- heart$age[heart$male == 1]; women <- heart$age[heart$male == 0]
tell("balance", "age", c(smd = (mean(men) - mean(women)) / sqrt((var(men) + var(women)) / 2), ratio = var(men) / var(women)))
w <- 1 + heart$age %% 4 / 2; male <- heart$male == 1
means <- c(weighted.mean(heart$age[!male], w[!male]), weighted.mean(heart$age[male], w[male]))
tell("weighted balance", "age", c(first = means[1], second = means[2], smd = diff(means) / sqrt((var(men) + var(women)) / 2)))

# Events and person-time, made up by the caller; the standard population and reference rates are those of the test.
falls <- read("falls")
exact <- poisson.test(sum(falls$falls), sum(falls$years))
tell("incidence", "rate", c(exact$estimate, exact$conf.int))
bands <- c("young", "middle", "old")
by <- function(what) tapply(falls[[what]], factor(falls$band, bands), sum)
expected <- sum(c(2, 5.5, 21) / 100 * by("years"))
ratio <- poisson.test(sum(falls$falls), expected)
tell("indirect", "ratio", c(ratio$estimate, ratio$conf.int))
share <- c(500, 300, 200) / 1000
rate <- sum(share * by("falls") / by("years")); variance <- sum(share^2 * by("falls") / by("years")^2)
most <- max(share / by("years"))
tell("direct", "rate", c(rate, sqrt(variance), qgamma(0.025, rate^2 / variance, scale = variance / rate),
  qgamma(0.975, (rate + most)^2 / (variance + most^2), scale = (variance + most^2) / (rate + most))))
end()
