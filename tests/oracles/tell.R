# What each script here shares. It is called with a folder: data stand there as CSV (`read`), R's own data sets are put there
# (`give`), and what R makes of them goes into answers.csv (`tell`), in 17 digits, from which a double is read back whole.

folder <- commandArgs(trailingOnly = TRUE)[1]
digits <- function(x) if (is.double(x)) ifelse(is.na(x), "", sprintf("%.17g", x)) else as.character(x)
told <- list()

need <- function(...) for (name in c(...)) {
  if (!suppressWarnings(suppressMessages(require(name, character.only = TRUE, quietly = TRUE)))) {
    cat("R has no package", name, "\n")
    quit(status = 3)
  }
}
read <- function(name) read.csv(file.path(folder, paste0(name, ".csv")))
give <- function(name, frame) {
  write.csv(as.data.frame(lapply(frame, digits)), file.path(folder, paste0(name, ".csv")), row.names = FALSE)
}
tell <- function(case, quantity, values) {
  names <- if (is.null(names(values)) || any(names(values) == "")) seq_along(values) else names(values)
  told[[length(told) + 1]] <<- data.frame(case, quantity, name = names, value = digits(as.double(values)))
}
end <- function() write.csv(do.call(rbind, told), file.path(folder, "answers.csv"), row.names = FALSE)
