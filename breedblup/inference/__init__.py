"""What is made of estimates: functions of variance components, comparisons of fits, fixed effects, means and residuals.

`expressions` reads what a user writes of the components; `functions` gives its value with a standard error by the
delta method, `sampling` by drawing covariance matrices. `shares` says what the variance of a record is made of,
`ratios` are the proportions that have names (heritability, repeatability, ...), `effect_correlations` those of effects and
traits. `likelihood_ratio` compares fits, `profile` follows the likelihood of one component.

`contrasts` estimates linear functions of fixed effects with degrees of freedom, `named_contrasts` those that a user
writes; `fixed` has the table of fixed effects and the tests of terms; `means` predicted means, on the grid that
`grid` lays out. `residuals` has residuals and leverages, `linear_model` what a model without random terms has in R.
"""
