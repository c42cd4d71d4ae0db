//! Integrals that have no closed form: Gauss–Legendre over panels for smooth integrands, and means
//! over a beta distribution by the trapezoid rule in a variable in which it is bell-shaped (Takahasi
//! and Mori 1974).

use std::sync::LazyLock;

use crate::lifetime::special::softplus;

/// Nodes of a panel; an integrand that is analytic within the panel's length is exact with them.
const NODES: usize = 16;

/// A node in −1..1 and its weight.
type Node = (f64, f64);

static LEGENDRE: LazyLock<[Node; NODES]> = LazyLock::new(legendre);

/// The nodes of the panel from `start` to `end`, with their weights.
pub(super) fn panel(start: f64, end: f64) -> impl Iterator<Item = Node> {
    let (middle, half) = (f64::midpoint(start, end), (end - start) / 2.0);
    let scaled = move |(node, weight): &Node| (middle + half * node, half * weight);
    LEGENDRE.iter().map(scaled)
}

/// Roots of the Legendre polynomial by Newton's method.
fn legendre() -> [Node; NODES] {
    const STEPS: usize = 20;
    let degree = NODES as f64;
    let mut nodes = [(0.0, 0.0); NODES];
    for (index, node) in nodes.iter_mut().enumerate() {
        let mut x = (std::f64::consts::PI * (index as f64 + 0.75) / (degree + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..STEPS {
            let (mut value, mut before) = (x, 1.0);
            for k in 2..=NODES {
                let k = k as f64;
                (value, before) = (
                    ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k,
                    value,
                );
            }
            slope = degree * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        *node = (x, 2.0 / ((1.0 - x * x) * slope * slope));
    }
    nodes
}

/// The mean of `f(p, 1 − p)` where p has the distribution Beta(a, b), for any a and b above 0.
pub(super) fn beta_mean(a: f64, b: f64, f: impl Fn(f64, f64) -> f64) -> f64 {
    const STEP: f64 = 1.0 / 32.0;
    const STEPS_PER_SIDE: i32 = 300;
    // In the log-odds y of p the density is bell-shaped around ln(a/b); sinh reaches its tails.
    let (centre, width) = ((a / b).ln(), (1.0 / a + 1.0 / b).sqrt());
    let ln_density = |y: f64| -a * softplus(-y) - b * softplus(y);
    let top = ln_density(centre);
    let (mut total, mut sum) = (0.0, 0.0);
    for step in -STEPS_PER_SIDE..=STEPS_PER_SIDE {
        let s = f64::from(step) * STEP;
        let y = centre + width * s.sinh();
        let weight = (ln_density(y) - top).exp() * s.cosh();
        if weight > 0.0 {
            total += weight;
            sum += weight * f((-softplus(-y)).exp(), (-softplus(y)).exp());
        }
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_integrates_polynomials_and_exponentials() {
        let cube: f64 = panel(0.0, 2.0).map(|(x, w)| w * x * x * x).sum();
        assert!((cube - 4.0).abs() < 1e-13, "{cube}");
        let decay: f64 = panel(0.0, 5.0).map(|(x, w)| w * (-x).exp()).sum();
        assert!((decay - (1.0 - (-5.0_f64).exp())).abs() < 1e-13, "{decay}");
    }

    #[test]
    fn means_of_beta_distributions_from_flat_to_needle() {
        for (a, b) in [
            (0.01, 0.5),
            (0.8, 2.4),
            (1.0, 10_000.0),
            (5e5, 2e6),
            (40.0, 0.02),
        ] {
            let mean = beta_mean(a, b, |p, _| p);
            assert!(
                (mean / (a / (a + b)) - 1.0).abs() < 1e-11,
                "{a} {b}: {mean}"
            );
            let rest = beta_mean(a, b, |_, q| q);
            assert!((mean + rest - 1.0).abs() < 1e-12, "{a} {b}");
        }
    }
}
