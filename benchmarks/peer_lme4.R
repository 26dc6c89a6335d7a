# lme4's data, and one timed fit by lme4:
#   Rscript benchmarks/peer_lme4.R export FOLDER NAME ...           -> FOLDER/NAME.csv
#   Rscript benchmarks/peer_lme4.R fit FOLDER NAME FORMULA FACTORS  -> JSON in the last line of output
# FACTORS: columns that are classes, between commas. Treatment contrasts throughout, first class in the order of the data of R.
suppressPackageStartupMessages(library(lme4))
options(contrasts = c("contr.treatment", "contr.treatment"))

short <- 1   # seconds; a fit that takes less is repeated
fits <- 5    # so often
tiny <- 2000 # records to warm up with
rows <- 50   # different rows of X told, at most

json <- function(x) {
  if (is.list(x)) {
    paste0("{", paste0("\"", names(x), "\": ", vapply(x, json, ""), collapse = ", "), "}")
  } else if (is.matrix(x)) {
    paste0("[", paste(apply(x, 1, json_row), collapse = ", "), "]")
  } else if (is.character(x)) {
    paste0("[", paste0("\"", x, "\"", collapse = ", "), "]")
  } else if (length(x) == 1) {
    number(x)
  } else {
    json_row(x)
  }
}
number <- function(x) ifelse(is.na(x), "null", sprintf("%.17g", x))
json_row <- function(x) paste0("[", paste(number(x), collapse = ", "), "]")

peak_bytes <- function() {
  lines <- tryCatch(readLines("/proc/self/status"), error = function(e) character())
  found <- grep("^VmHWM:", lines, value = TRUE)
  if (length(found)) 1024 * as.numeric(gsub("[^0-9]", "", found)) else NA_real_
}

export <- function(folder, names) {
  for (name in names) {
    data(list = name, package = "lme4")
    write.csv(get(name), file.path(folder, paste0(name, ".csv")), row.names = FALSE)
  }
}

fit_one <- function(folder, name, formula, factors) {
  kinds <- if (length(factors)) setNames(rep("factor", length(factors)), factors) else NA
  records <- read.csv(file.path(folder, paste0(name, ".csv")), colClasses = kinds)
  formula <- as.formula(formula)
  timed <- function(data) {
    start <- Sys.time()
    fitted <<- suppressMessages(lmer(formula, data))
    as.numeric(Sys.time() - start, units = "secs")
  }
  fitted <- NULL
  try(suppressWarnings(timed(head(records, tiny))), silent = TRUE)
  seconds <- timed(records)
  if (seconds < short) seconds <- c(seconds, replicate(fits - 1, timed(records)))
  variances <- lapply(VarCorr(fitted), function(v) matrix(v, nrow(v)))
  X <- getME(fitted, "X")
  first <- head(which(!duplicated(X)), rows)
  result <- list(
    total = median(seconds),
    peak = peak_bytes(),
    criterion = REMLcrit(fitted),
    variances = variances,
    residual = matrix(sigma(fitted)^2),
    names = names(fixef(fitted)),
    estimate = matrix(fixef(fitted), 1),
    error = matrix(sqrt(diag(as.matrix(vcov(fitted)))), 1),
    rows = matrix(first - 1, 1),
    coded = matrix(X[first, , drop = FALSE], length(first)),
    version = as.character(packageVersion("lme4"))
  )
  cat(json(result), "\n", sep = "")
}

arguments <- commandArgs(trailingOnly = TRUE)
if (arguments[1] == "export") {
  export(arguments[2], arguments[-(1:2)])
} else {
  factors <- if (length(arguments) > 4) strsplit(arguments[5], ",")[[1]] else character()
  fit_one(arguments[2], arguments[3], arguments[4], factors)
}
