//! Special functions of positive arguments: Stirling's series after shifting the argument up, in
//! which the first neglected term is below the rounding of a DOUBLE. Source: Abramowitz and Stegun,
//! 6.1.15, 6.1.41, 6.3.5, 6.3.18, 6.4.6 and 6.4.12.

use std::f64::consts::PI;

/// From here on the series is exact to the last digit or two.
const SERIES_FROM: f64 = 10.0;

/// Logarithm of the gamma function.
pub(super) fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < SERIES_FROM {
        product *= x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = horner(
        y,
        &[
            1.0 / 12.0,
            -1.0 / 360.0,
            1.0 / 1_260.0,
            -1.0 / 1_680.0,
            1.0 / 1_188.0,
            -691.0 / 360_360.0,
            1.0 / 156.0,
        ],
    );
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + series / x - product.ln()
}

/// Derivative of [`ln_gamma`].
pub(super) fn digamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < SERIES_FROM {
        shift += 1.0 / x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = horner(
        y,
        &[
            1.0 / 12.0,
            -1.0 / 120.0,
            1.0 / 252.0,
            -1.0 / 240.0,
            1.0 / 132.0,
            -691.0 / 32_760.0,
            1.0 / 12.0,
        ],
    );
    x.ln() - 0.5 / x - series * y - shift
}

/// Derivative of [`digamma`].
pub(super) fn trigamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < SERIES_FROM {
        shift += 1.0 / (x * x);
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = horner(
        y,
        &[
            1.0 / 6.0,
            -1.0 / 30.0,
            1.0 / 42.0,
            -1.0 / 30.0,
            5.0 / 66.0,
            -691.0 / 2_730.0,
            7.0 / 6.0,
        ],
    );
    (1.0 + series * y) / x + 0.5 * y + shift
}

/// Logarithm of the beta function.
pub(super) fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// `ln(1 + eᶻ)` without overflow.
pub(super) fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn horner(y: f64, coefficients: &[f64]) -> f64 {
    let mut sum = 0.0;
    for coefficient in coefficients.iter().rev() {
        sum = sum * y + coefficient;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(got: f64, known: f64) {
        assert!(
            (got - known).abs() <= 2e-14 * known.abs().max(1.0),
            "{got} {known}"
        );
    }

    #[test]
    fn known_values_of_gamma() {
        assert_close(ln_gamma(0.5), 0.5 * PI.ln());
        assert_close(ln_gamma(1.0), 0.0);
        assert_close(ln_gamma(2.0), 0.0);
        assert_close(ln_gamma(11.0), 3_628_800.0_f64.ln());
        assert_close(ln_gamma(1e-20), 1e20_f64.ln());
        // The factorial of 169.
        assert_close(ln_gamma(170.0), 701.437_263_808_737_2);
    }

    #[test]
    fn known_values_of_digamma() {
        const EULER: f64 = 0.577_215_664_901_532_9;
        assert_close(digamma(1.0), -EULER);
        assert_close(digamma(0.5), -EULER - 2.0 * 2.0_f64.ln());
        assert_close(
            digamma(10_000.0),
            9_999.5_f64.ln() + 1.0 / (24.0 * 9_999.5 * 9_999.5),
        );
    }

    #[test]
    fn digamma_is_the_slope_of_ln_gamma() {
        for x in [0.05_f64, 0.7, 3.0, 9.99, 40.0] {
            let h = 1e-5 * x;
            let slope = (ln_gamma(x + h) - ln_gamma(x - h)) / (2.0 * h);
            assert!(
                (slope - digamma(x)).abs() < 1e-7 * (1.0 + slope.abs()),
                "{x}"
            );
        }
    }

    #[test]
    fn known_values_of_trigamma() {
        assert_close(trigamma(1.0), PI * PI / 6.0);
        assert_close(trigamma(0.5), PI * PI / 2.0);
        assert_close(trigamma(30.0), trigamma(31.0) + 1.0 / 900.0);
        assert_close(trigamma(1e-6), 1e12 + PI * PI / 6.0);
    }

    #[test]
    fn softplus_does_not_overflow() {
        assert_eq!(softplus(1e6), 1e6);
        assert_eq!(softplus(-1e6), 0.0);
        assert_close(softplus(0.0), 2.0_f64.ln());
    }
}
