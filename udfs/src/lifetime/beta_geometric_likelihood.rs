//! The likelihood of BG/NBD and MBG/NBD with its first and second derivatives by the logarithms of
//! r, alpha, a and b. Source: Fader, Hardie and Lee 2005, equation 6; derivatives by hand.
//!
//! What depends on the number of purchases only is computed once per number, and logarithms once per
//! moment: a log of orders has many customers and few days. For each customer an exponential and a
//! logarithm are left.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use datafusion_common::HashMap;

use crate::lifetime::customer::Customer;
use crate::lifetime::optimise::{Curve, Slope, Surface};
use crate::lifetime::special::{digamma, ln_beta, ln_gamma, trigamma};

/// A sketch has at least so many customers,
const SKETCH_MIN: usize = 400;
/// and no fewer than one of so many.
const SKETCHED_MAX: usize = 16;

/// Customers of one part at most. How they are parted does not depend on the machine, so that sums
/// do not either.
const PART_MAX: usize = 8_192;
/// Threads of one fit at most.
const THREADS_MAX: usize = 8;
/// Fewer parts than this for each thread are not worth it.
const PARTS_PER_THREAD: usize = 4;

/// Customers with as many purchases as each other.
#[derive(Debug, Clone, Copy)]
struct Part {
    x: f64,
    start: usize,
    end: usize,
}

/// A customer with a weight; times are places in a list.
#[derive(Debug, Clone, Copy)]
struct Observed {
    t_x: u32,
    t: u32,
    weight: f64,
}

/// The mean log-likelihood of customers.
#[derive(Debug)]
pub(super) struct Likelihood {
    parts: Vec<Part>,
    threads: usize,
    customers: Vec<Observed>,
    /// Moments of last purchases and ends of observation, each once.
    times: Vec<f64>,
    /// Sum of the weights.
    n: f64,
    /// Chances to leave before the first repeat purchase: 0 in BG/NBD, 1 in MBG/NBD.
    chances: f64,
}

impl Likelihood {
    /// Of customers who are sorted by their number of purchases; fewer than 2³².
    pub(super) fn new(sorted: &[(Customer, f64)], chances: f64) -> Self {
        let (mut places, mut times) = (HashMap::<u64, u32>::default(), Vec::new());
        let mut place = |time: f64| {
            *places.entry(time.to_bits()).or_insert_with(|| {
                times.push(time);
                times.len() as u32 - 1
            })
        };
        let customers: Vec<_> = sorted
            .iter()
            .map(|(customer, weight)| Observed {
                t_x: place(customer.t_x),
                t: place(customer.t),
                weight: *weight,
            })
            .collect();
        let mut parts: Vec<Part> = Vec::new();
        for (start, (customer, _)) in sorted.iter().enumerate() {
            let x = customer.x;
            match parts.last_mut() {
                Some(last) if last.x == x && start - last.start < PART_MAX => last.end = start + 1,
                _ => parts.push(Part {
                    x,
                    start,
                    end: start + 1,
                }),
            }
        }
        let worth = customers.len() / (PART_MAX * PARTS_PER_THREAD);
        let threads = match worth {
            0 | 1 => 1,
            worth => thread::available_parallelism()
                .map_or(1, NonZero::get)
                .min(worth),
        };
        let n = sorted.iter().map(|(_, weight)| weight).sum();
        Self {
            parts,
            threads: threads.min(THREADS_MAX),
            customers,
            times,
            n,
            chances,
        }
    }

    /// Adds up value and derivatives, the second ones only if they are asked for.
    fn derive<const CURVED: bool>(&self, log_parameters: &[f64; 4]) -> Derivatives {
        let [r, alpha, a, b] = log_parameters.map(f64::exp);
        let moments: Vec<Moment> = self
            .times
            .iter()
            .map(|time| Moment {
                ln: (alpha + time).ln(),
                inverse: 1.0 / (alpha + time),
            })
            .collect();
        let add_up = |Part { x, start, end }: &Part| {
            let chances = x + self.chances;
            let customers = &self.customers[*start..*end];
            if chances > 0.0 {
                let ln_leaves = (a / (b + chances - 1.0)).ln();
                add_up::<CURVED>(customers, &moments, r + x, ln_leaves)
            } else {
                add_up_present::<CURVED>(customers, &moments, r + x)
            }
        };
        let mut sums = Derivatives::default();
        let known = Known::new::<CURVED>(r, a, b, log_parameters[1]);
        let of_parts = in_threads(&self.parts, self.threads, &add_up);
        let with_sums: Vec<_> = self.parts.iter().zip(of_parts).collect();
        for parts in with_sums.chunk_by(|(left, _), (right, _)| left.x == right.x) {
            let mut of_all = OfCustomers::default();
            for (_, sums) in parts {
                of_all.add(sums);
            }
            let x = parts[0].0.x;
            let chances = x + self.chances;
            sums.take_in::<CURVED>(&of_all, &known, x, chances, [r, alpha, a, b]);
        }
        sums.by_logarithms(self.n, [r, alpha, a, b])
    }
}

impl Surface<4> for Likelihood {
    fn slope(&self, point: &[f64; 4]) -> Slope<4> {
        let Derivatives {
            value, gradient, ..
        } = self.derive::<false>(point);
        (value, gradient)
    }

    fn curve(&self, point: &[f64; 4]) -> Curve<4> {
        let Derivatives {
            value,
            gradient,
            hessian,
        } = self.derive::<true>(point);
        ((value, gradient), hessian)
    }

    fn sketch(&self) -> Option<Self> {
        let every = SKETCHED_MAX.min(self.customers.len() / SKETCH_MIN);
        if every < 2 {
            return None;
        }
        let mut part = Vec::with_capacity(self.customers.len() / every + 1);
        for Part { x, start, end } in &self.parts {
            for place in (start.next_multiple_of(every)..*end).step_by(every) {
                let observed = &self.customers[place];
                let customer = Customer {
                    x: *x,
                    t_x: self.times[observed.t_x as usize],
                    t: self.times[observed.t as usize],
                };
                part.push((customer, observed.weight));
            }
        }
        Some(Self::new(&part, self.chances))
    }
}

/// What `sums` gives for each part, by so many threads, which take the parts in turn.
fn in_threads(
    parts: &[Part],
    threads: usize,
    sums: &(impl Fn(&Part) -> OfCustomers + Sync),
) -> Vec<OfCustomers> {
    if threads <= 1 {
        return parts.iter().map(sums).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(place) else {
                return done;
            };
            done.push((place, sums(part)));
        }
    };
    let mut found = vec![None; parts.len()];
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_default());
        }
        for (place, sums) in done {
            found[place] = Some(sums);
        }
    });
    // What a thread has not brought back is done here.
    let found = found.into_iter().zip(parts);
    found
        .map(|(found, part)| found.unwrap_or_else(|| sums(part)))
        .collect()
}

/// `ln(alpha + time)` and its slope by alpha.
#[derive(Debug, Clone, Copy)]
struct Moment {
    ln: f64,
    inverse: f64,
}

/// Gamma functions of the parameters alone.
struct Known {
    ln_alpha: f64,
    ln_gamma_r: f64,
    ln_beta: f64,
    digamma: [f64; 3],
    trigamma: [f64; 3],
}

impl Known {
    fn new<const CURVED: bool>(r: f64, a: f64, b: f64, ln_alpha: f64) -> Self {
        let points = [r, a + b, b];
        Self {
            ln_alpha,
            ln_gamma_r: ln_gamma(r),
            ln_beta: ln_beta(a, b),
            digamma: points.map(digamma),
            trigamma: match CURVED {
                true => points.map(trigamma),
                false => [0.0; 3],
            },
        }
    }
}

/// Sums over customers with as many purchases as each other. `gone` is the probability of having
/// left, `spread` its variance, `silence` the logarithm that its odds grow with.
#[derive(Debug, Clone, Copy, Default)]
struct OfCustomers {
    weight: f64,
    value: f64,
    by_r: f64,
    by_alpha: f64,
    gone: f64,
    by_r_r: f64,
    by_r_alpha: f64,
    by_alpha_alpha: f64,
    spread: f64,
    spread_r: f64,
    spread_alpha: f64,
}

impl OfCustomers {
    fn add(&mut self, other: &Self) {
        self.weight += other.weight;
        self.value += other.value;
        self.by_r += other.by_r;
        self.by_alpha += other.by_alpha;
        self.gone += other.gone;
        self.by_r_r += other.by_r_r;
        self.by_r_alpha += other.by_r_alpha;
        self.by_alpha_alpha += other.by_alpha_alpha;
        self.spread += other.spread;
        self.spread_r += other.spread_r;
        self.spread_alpha += other.spread_alpha;
    }
}

fn add_up<const CURVED: bool>(
    customers: &[Observed],
    moments: &[Moment],
    shape: f64,
    ln_leaves: f64,
) -> OfCustomers {
    let mut sums = OfCustomers::default();
    for Observed { t_x, t, weight } in customers {
        let (last, end) = (moments[*t_x as usize], moments[*t as usize]);
        let silence = end.ln - last.ln;
        let odds = ln_leaves + shape * silence;
        let small = (-odds.abs()).exp();
        let gone = if odds >= 0.0 { 1.0 } else { small } / (1.0 + small);
        let left = odds.max(0.0) + (1.0 + small).ln();
        sums.weight += weight;
        sums.value += weight * (left - shape * end.ln);
        sums.by_r += weight * (gone * silence - end.ln);
        let pull = (1.0 - gone) * end.inverse + gone * last.inverse;
        sums.by_alpha -= weight * shape * pull;
        sums.gone += weight * gone;
        if CURVED {
            let spread = weight * gone * (1.0 - gone);
            let by_alpha = shape * (end.inverse - last.inverse);
            sums.by_r_r += spread * silence * silence;
            sums.by_r_alpha += spread * silence * by_alpha - weight * pull;
            let squares =
                (1.0 - gone) * end.inverse * end.inverse + gone * last.inverse * last.inverse;
            sums.by_alpha_alpha += weight * shape * squares + spread * by_alpha * by_alpha;
            sums.spread += spread;
            sums.spread_r += spread * silence;
            sums.spread_alpha += spread * by_alpha;
        }
    }
    sums
}

/// The same of customers who had no chance to leave.
fn add_up_present<const CURVED: bool>(
    customers: &[Observed],
    moments: &[Moment],
    shape: f64,
) -> OfCustomers {
    let mut sums = OfCustomers::default();
    for Observed { t, weight, .. } in customers {
        let end = moments[*t as usize];
        sums.weight += weight;
        sums.value -= weight * shape * end.ln;
        sums.by_r -= weight * end.ln;
        sums.by_alpha -= weight * shape * end.inverse;
        if CURVED {
            sums.by_r_alpha -= weight * end.inverse;
            sums.by_alpha_alpha += weight * shape * end.inverse * end.inverse;
        }
    }
    sums
}

/// Value, gradient and Hessian.
#[derive(Debug, Default)]
struct Derivatives {
    value: f64,
    gradient: [f64; 4],
    hessian: [[f64; 4]; 4],
}

impl Derivatives {
    /// Takes in all customers with x purchases; derivatives are by the parameters themselves, and of
    /// the Hessian the upper half.
    fn take_in<const CURVED: bool>(
        &mut self,
        sums: &OfCustomers,
        known: &Known,
        x: f64,
        chances: f64,
        [r, alpha, a, b]: [f64; 4],
    ) {
        let weight = sums.weight;
        let of_purchases = ln_gamma(r + x) - known.ln_gamma_r + r * known.ln_alpha;
        let of_staying = ln_beta(a, b + chances) - known.ln_beta;
        self.value += sums.value + weight * (of_purchases + of_staying);
        let [of_r, of_ab, of_b] = known.digamma;
        let of_all = of_ab - digamma(a + b + chances);
        let before = b + chances - 1.0;
        self.gradient[0] += sums.by_r + weight * (digamma(r + x) - of_r + known.ln_alpha);
        self.gradient[1] += sums.by_alpha + weight * r / alpha;
        self.gradient[2] += weight * of_all;
        self.gradient[3] += weight * (of_all + digamma(b + chances) - of_b);
        let left = chances > 0.0;
        if left {
            self.gradient[2] += sums.gone / a;
            self.gradient[3] -= sums.gone / before;
        }
        if !CURVED {
            return;
        }
        let [of_r, of_ab, of_b] = known.trigamma;
        let of_all = of_ab - trigamma(a + b + chances);
        let h = &mut self.hessian;
        h[0][0] += sums.by_r_r + weight * (trigamma(r + x) - of_r);
        h[0][1] += sums.by_r_alpha + weight / alpha;
        h[1][1] += sums.by_alpha_alpha - weight * r / (alpha * alpha);
        h[2][2] += weight * of_all;
        h[2][3] += weight * of_all;
        h[3][3] += weight * (of_all + trigamma(b + chances) - of_b);
        if left {
            h[0][2] += sums.spread_r / a;
            h[0][3] -= sums.spread_r / before;
            h[1][2] += sums.spread_alpha / a;
            h[1][3] -= sums.spread_alpha / before;
            h[2][2] += (sums.spread - sums.gone) / (a * a);
            h[2][3] -= sums.spread / (a * before);
            h[3][3] += (sums.spread + sums.gone) / (before * before);
        }
    }

    /// The mean over n, by the logarithms of the parameters.
    fn by_logarithms(mut self, n: f64, parameters: [f64; 4]) -> Self {
        self.value /= n;
        for row in 0..4 {
            self.gradient[row] *= parameters[row] / n;
            for column in row..4 {
                self.hessian[row][column] *= parameters[row] * parameters[column] / n;
                self.hessian[column][row] = self.hessian[row][column];
            }
            self.hessian[row][row] += self.gradient[row];
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customers() -> Vec<(Customer, f64)> {
        [
            (0.0, 0.0, 8.0, 1.5),
            (0.0, 0.0, 9.0, 3.0),
            (1.0, 2.0, 8.0, 1.0),
            (12.0, 7.5, 8.0, 2.0),
        ]
        .map(|(x, t_x, t, weight)| (Customer { x, t_x, t }, weight))
        .to_vec()
    }

    /// Equation 6 as it is printed, by the definition of the functions in it.
    fn printed(point: &[f64; 4]) -> f64 {
        let [r, alpha, a, b] = point.map(f64::exp);
        let of_one = |(Customer { x, t_x, t }, weight): &(Customer, f64)| {
            let purchases = ln_gamma(r + x) - ln_gamma(r) + r * alpha.ln();
            let here = ln_beta(a, b + x) - ln_beta(a, b) - (r + x) * (alpha + t).ln();
            let gone = ln_beta(a + 1.0, b + x - 1.0) - ln_beta(a, b) - (r + x) * (alpha + t_x).ln();
            let gone = if *x > 0.0 { gone.exp() } else { 0.0 };
            weight * (purchases + (here.exp() + gone).ln())
        };
        let customers = customers();
        let n: f64 = customers.iter().map(|(_, weight)| weight).sum();
        customers.iter().map(of_one).sum::<f64>() / n
    }

    const POINT: [f64; 4] = [-0.7, 0.4, 0.2, 0.9];

    #[test]
    fn the_value_is_that_of_the_printed_equation() {
        let (value, _) = Likelihood::new(&customers(), 0.0).slope(&POINT);
        assert!((value - printed(&POINT)).abs() < 1e-12, "{value}");
    }

    #[test]
    fn derivatives_are_those_of_the_value() {
        for chances in [0.0, 1.0] {
            let likelihood = Likelihood::new(&customers(), chances);
            let (_, gradient) = likelihood.slope(&POINT);
            let (_, hessian) = likelihood.curve(&POINT);
            for axis in 0..4 {
                let shifted = |by: f64| {
                    let mut point = POINT;
                    point[axis] += by;
                    likelihood.slope(&point)
                };
                let ((above, up), (below, down)) = (shifted(1e-5), shifted(-1e-5));
                let slope = (above - below) / 2e-5;
                assert!((slope - gradient[axis]).abs() < 1e-7, "{chances} {axis}");
                for other in 0..4 {
                    let curve = (up[other] - down[other]) / 2e-5;
                    let known = hessian[axis][other];
                    assert!(
                        (curve - known).abs() < 1e-7,
                        "{chances} {axis} {other}: {curve} {known}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_sketch_has_every_so_many_customers_with_their_numbers() {
        let many: Vec<_> = (0..10_000_u32)
            .map(|n| {
                let x = f64::from(n / 1_000);
                let t_x = if x > 0.0 { f64::from(n % 7) } else { 0.0 };
                let t = 10.0;
                (Customer { x, t_x, t }, f64::from(n))
            })
            .collect();
        let sketch = Likelihood::new(&many, 0.0).sketch().unwrap();
        let expected: Vec<_> = many.iter().step_by(SKETCHED_MAX).copied().collect();
        assert_eq!(sketch.customers.len(), expected.len());
        let expected = Likelihood::new(&expected, 0.0).slope(&POINT);
        assert_eq!(sketch.slope(&POINT), expected);
        assert!(Likelihood::new(&customers(), 0.0).sketch().is_none());
    }

    #[test]
    fn sums_do_not_depend_on_the_threads() {
        let mut sorted: Vec<_> = (0..3 * PART_MAX as u32)
            .map(|n| {
                let x = f64::from(n % 4);
                let t_x = if x > 0.0 { f64::from(n % 7) + 0.1 } else { 0.0 };
                (Customer { x, t_x, t: 10.0 }, 1.0 / f64::from(n + 1))
            })
            .collect();
        sorted.sort_by(|(left, _), (right, _)| left.x.total_cmp(&right.x));
        let mut likelihood = Likelihood::new(&sorted, 0.0);
        likelihood.threads = 1;
        let alone = likelihood.curve(&POINT);
        for threads in [2, 5] {
            likelihood.threads = threads;
            assert_eq!(likelihood.curve(&POINT), alone);
        }
    }
}
