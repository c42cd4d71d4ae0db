//! Tails and quantiles of the normal and Student's t distribution.
//!
//! The normal tail is the error function by its series (DLMF 7.6.2) and, far out, its continued
//! fraction (DLMF 7.9.1). The tail of t is the incomplete beta function by its continued fraction
//! (DLMF 8.17.22), with `1 − x` passed beside `x`, because it is lost otherwise when there are many
//! degrees of freedom; beyond a hundred thousand of them, Hill's expansion (CACM algorithm 395, 1970).

use std::cell::Cell;
use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

/// Probability that a standard normal variable is farther from zero than `z`.
pub(crate) fn normal_two_sided(z: f64) -> f64 {
    let x = z.abs() / SQRT_2;
    if x < SERIES_BELOW {
        1.0 - error_function(x)
    } else {
        far_error_function(x)
    }
}

/// Where the series of the error function gives way to the continued fraction.
const SERIES_BELOW: f64 = 1.5;
/// Terms of the continued fraction, enough for [`SERIES_BELOW`].
const FAR_TERMS: u32 = 160;

fn error_function(x: f64) -> f64 {
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term > sum * f64::EPSILON / 4.0 {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `1 − erf(x)` where that is small.
fn far_error_function(x: f64) -> f64 {
    if x.is_infinite() {
        return 0.0;
    }
    let fraction = (1..=FAR_TERMS)
        .rev()
        .fold(x, |below, term| x + f64::from(term) / 2.0 / below);
    FRAC_2_SQRT_PI / 2.0 * (-x * x).exp() / fraction
}

/// The `z` within which a standard normal variable lies with this probability.
pub(crate) fn normal_within(confidence: f64) -> f64 {
    thread_local! {
        /// Asked for again by every row and group, and mostly the same.
        static LAST: Cell<(f64, f64)> = const { Cell::new((f64::NAN, f64::NAN)) };
    }
    let (last, z) = LAST.get();
    if last == confidence {
        return z;
    }
    let density = |z: f64| (-z * z / 2.0).exp() / (2.0 * PI).sqrt();
    let z = quantile(1.0 - confidence, normal_two_sided, density);
    LAST.set((confidence, z));
    z
}

/// The `t` within which a t variable lies with this probability.
pub(crate) fn student_within(confidence: f64, degrees: f64) -> f64 {
    quantile(
        1.0 - confidence,
        |t| student_two_sided(t, degrees),
        |t| student_density(t, degrees),
    )
}

/// Steps after which the search for a quantile ends; halving alone needs fewer.
const MAX_STEPS: u32 = 200;
/// Logarithm beyond which no quantile of a double's probability lies.
const FAR: f64 = 800.0;

/// Where both tails together hold a probability, by Newton's method on logarithms of place and
/// tail, between which the tail is nearly a line.
fn quantile(outside: f64, two_sided: impl Fn(f64) -> f64, density: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high, mut place) = (-FAR, FAR, 0.0_f64);
    for _ in 0..MAX_STEPS {
        let x = place.exp();
        let tail = two_sided(x);
        let miss = tail.ln() - outside.ln();
        if miss > 0.0 {
            low = place;
        } else {
            high = place;
        }
        let newton = place + miss * tail / (2.0 * density(x) * x);
        let next = if newton > low && newton < high {
            newton
        } else {
            f64::midpoint(low, high)
        };
        if (next - place).abs() <= f64::EPSILON || high - low <= f64::EPSILON {
            return next.exp();
        }
        place = next;
    }
    place.exp()
}

/// Degrees of freedom from which the expansion is used.
const MANY_DEGREES: f64 = 1e5;

/// Probability that a t variable is farther from zero than `t`.
pub(crate) fn student_two_sided(t: f64, degrees: f64) -> f64 {
    if !t.is_finite() {
        return 0.0;
    }
    if t == 0.0 {
        return 1.0;
    }
    if degrees >= MANY_DEGREES {
        return normal_two_sided(normal_of_student(t, degrees));
    }
    let square = t * t;
    let (x, y) = (degrees / (degrees + square), square / (degrees + square));
    let (a, b) = (degrees / 2.0, 0.5);
    let front =
        (ln_gamma_step(a) - 0.5 * PI.ln() - a * (square / degrees).ln_1p() + b * y.ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, y) / b
    }
}

/// The normal deviate with the tail of `t`.
fn normal_of_student(t: f64, degrees: f64) -> f64 {
    let a = degrees - 0.5;
    let b = 48.0 * a * a;
    let y = a * (t * t / degrees).ln_1p();
    let tail = ((-0.4 * y - 3.3) * y - 24.0) * y - 85.5;
    ((tail / (0.8 * y * y + 100.0 + b) + y + 3.0) / b + 1.0) * y.sqrt()
}

/// Argument from which the series of [`ln_gamma_step`] has all digits.
const GAMMA_SERIES_FROM: f64 = 20.0;
/// Coefficients of that series in odd powers of `1/a`.
const GAMMA_SERIES: [f64; 6] = [
    -1.0 / 8.0,
    1.0 / 192.0,
    -1.0 / 640.0,
    17.0 / 14_336.0,
    -31.0 / 18_432.0,
    691.0 / 180_224.0,
];

/// `ln Γ(a + ½) − ln Γ(a)`, which loses its digits as a difference of large numbers.
fn ln_gamma_step(mut a: f64) -> f64 {
    let mut ratio = 1.0;
    while a < GAMMA_SERIES_FROM {
        ratio *= a / (a + 0.5);
        a += 1.0;
    }
    let square = a * a;
    let series = GAMMA_SERIES
        .iter()
        .rev()
        .fold(0.0, |sum, term| term + sum / square)
        / a;
    ratio.ln() + 0.5 * a.ln() + series
}

/// Terms after which the continued fraction is given up; it needs about the root of `a`.
const MAX_TERMS: u32 = 20_000;

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let not_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for term in 1..=MAX_TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / not_zero(1.0 + even * d);
        c = not_zero(1.0 + even / c);
        fraction *= c * d;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / not_zero(1.0 + odd * d);
        c = not_zero(1.0 + odd / c);
        let step = c * d;
        fraction *= step;
        if (step - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    fraction
}

fn student_density(t: f64, degrees: f64) -> f64 {
    let half = degrees / 2.0;
    let log =
        ln_gamma_step(half) - 0.5 * (degrees * PI).ln() - (half + 0.5) * (t * t / degrees).ln_1p();
    log.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64, tolerance: f64) {
        assert!(
            (got / expected - 1.0).abs() < tolerance,
            "{got} instead of {expected}"
        );
    }

    #[test]
    fn known_points_of_the_normal_distribution() {
        near(normal_within(0.95), 1.959_963_984_540_054, 1e-14);
        near(normal_within(0.99), 2.575_829_303_548_901, 1e-14);
        near(normal_within(0.5), 0.674_489_750_196_081_7, 1e-14);
        near(normal_two_sided(1.959_963_984_540_054), 0.05, 1e-14);
        near(normal_two_sided(0.5), 0.617_075_077_451_973_9, 1e-14);
        near(normal_two_sided(2.1), 0.035_728_841_125_632_27, 1e-13);
        assert_eq!(
            (normal_two_sided(0.0), normal_two_sided(f64::INFINITY)),
            (1.0, 0.0)
        );
        near(normal_two_sided(-10.0), 1.523_970_604_832_105_5e-23, 1e-12);
    }

    /// One and two degrees of freedom have closed forms.
    #[test]
    fn closed_forms_of_the_t_distribution() {
        for t in [0.001_f64, 0.5, 1.0, 12.706, 1e3, 1e8] {
            let one = 2.0 * (1.0 / t).atan() / PI;
            near(student_two_sided(t, 1.0), one, 1e-13);
            let two = 2.0 / ((2.0 + t * t) * (1.0 + t / (2.0 + t * t).sqrt()));
            near(student_two_sided(t, 2.0), two, 1e-13);
        }
        assert_eq!(student_two_sided(0.0, 3.0), 1.0);
        assert_eq!(student_two_sided(f64::INFINITY, 3.0), 0.0);
    }

    #[test]
    fn tables_of_the_t_distribution() {
        near(student_within(0.95, 1.0), 12.706_204_736_174_7, 1e-12);
        near(student_within(0.95, 10.0), 2.228_138_851_986_275, 1e-12);
        near(student_within(0.99, 30.0), 2.749_995_653_567_225, 1e-12);
        near(student_within(0.95, 1e12), normal_within(0.95), 1e-11);
    }

    #[test]
    fn quantile_and_tail_agree() {
        for degrees in [1.0, 1.5, 8.917, 99.0, 101.0, 5e4, 1e6] {
            for confidence in [1e-6, 0.5, 0.9, 0.999_999] {
                let t = student_within(confidence, degrees);
                near(student_two_sided(t, degrees), 1.0 - confidence, 1e-9);
            }
        }
    }

    /// Both ways to the tail give the same where they meet.
    #[test]
    fn the_expansion_continues_the_fraction() {
        for t in [0.1, 1.0, 3.0, 8.0, 30.0] {
            let below = student_two_sided(t, MANY_DEGREES - 1e-6);
            near(student_two_sided(t, MANY_DEGREES), below, 1e-9);
        }
    }
}
