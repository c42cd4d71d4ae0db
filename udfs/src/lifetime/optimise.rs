//! Maximum of a likelihood: BFGS with exact gradients finds the neighbourhood, Newton's method the
//! digits. The Newton step also tells a maximum from a slope that only becomes ever flatter: there
//! the gradient vanishes, but the step does not. Every loop is bounded.
//!
//! Parameters are logarithms, so that all are positive and steps are relative. Source: Nocedal and
//! Wright 2006, chapters 3 and 6; line search of Lewis and Overton 2013.

use datafusion_common::Result;

use crate::interrupt::check_interrupt;

/// Steps of BFGS.
const ITERATIONS_MAX: usize = 200;
/// Trials of a line search.
const TRIALS_MAX: usize = 40;
/// Steps of Newton's method.
const NEWTON_MAX: usize = 25;
/// Largest change of a log-parameter in one step.
const STEP_MAX: f64 = 2.0;
/// Log-parameters beyond this are no estimate of anything: e^±16 is nine million.
const LOG_PARAMETER_MAX: f64 = 16.0;
/// BFGS stops at this slope of the mean log-likelihood.
const SLOPE_SMALL: f64 = 1e-7;
/// The same on a sketch, whose maximum is another one anyway.
const SKETCH_SLOPE_SMALL: f64 = 1e-4;
/// A Newton step below this, relative to the parameter, is the end.
const STEP_SMALL: f64 = 1e-8;
/// The same on a sketch.
const SKETCH_STEP_SMALL: f64 = 1e-3;

/// Value and gradient at a point.
pub(super) type Slope<const N: usize> = (f64, [f64; N]);

/// The same with second derivatives.
pub(super) type Curve<const N: usize> = (Slope<N>, [[f64; N]; N]);

/// Where the search ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Optimum<const N: usize> {
    pub(super) point: [f64; N],
    pub(super) value: f64,
    pub(super) iterations: usize,
    pub(super) converged: bool,
}

/// What is climbed. Values must be of the size of one observation (a mean), so that the tolerances
/// mean the same for any number of them.
pub(super) trait Surface<const N: usize>: Sized {
    /// Value and gradient at a point.
    fn slope(&self, point: &[f64; N]) -> Slope<N>;

    /// The same with second derivatives.
    fn curve(&self, point: &[f64; N]) -> Curve<N> {
        (self.slope(point), differences(self, point))
    }

    /// The same over a part of the observations, whose maximum is near: a cheap place to start from.
    fn sketch(&self) -> Option<Self> {
        None
    }
}

impl<const N: usize, F: Fn(&[f64; N]) -> Slope<N>> Surface<N> for F {
    fn slope(&self, point: &[f64; N]) -> Slope<N> {
        self(point)
    }
}

/// Upside down: minimising is what the literature writes down.
struct Falling<'a, S>(&'a S);

impl<S> Falling<'_, S> {
    fn slope<const N: usize>(&self, point: &[f64; N]) -> Slope<N>
    where
        S: Surface<N>,
    {
        negative(self.0.slope(point))
    }

    fn curve<const N: usize>(&self, point: &[f64; N]) -> Curve<N>
    where
        S: Surface<N>,
    {
        let (slope, hessian) = self.0.curve(point);
        (negative(slope), hessian.map(|row| row.map(|cell| -cell)))
    }
}

fn negative<const N: usize>((value, gradient): Slope<N>) -> Slope<N> {
    (-value, gradient.map(|slope| -slope))
}

/// Searches from each start in turn until one leads to a maximum; an error if it is interrupted.
pub(super) fn maximise<const N: usize>(
    starts: &[[f64; N]],
    surface: &impl Surface<N>,
) -> Result<Option<Optimum<N>>> {
    let falling = Falling(surface);
    let mut iterations = 0;
    let mut last = None;
    let sketch = surface.sketch();
    let sketched = sketch.iter().flat_map(|sketch| {
        let near = |start| climb(start, sketch);
        starts.iter().copied().map(near)
    });
    let searched = starts
        .iter()
        .map(|start| bfgs(*start, &falling, SLOPE_SMALL));
    for near in sketched.chain(searched) {
        let near = near?;
        let mut end = newton(near.point, &falling, STEP_SMALL)?;
        iterations += near.iterations + end.iterations;
        end.iterations = iterations;
        end.value = -end.value;
        last = Some(end);
        if end.converged {
            break;
        }
    }
    Ok(last)
}

/// About the maximum of a sketch, which may have sketches of its own.
fn climb<const N: usize>(start: [f64; N], surface: &impl Surface<N>) -> Result<Optimum<N>> {
    let Some(sketch) = surface.sketch() else {
        return bfgs(start, &Falling(surface), SKETCH_SLOPE_SMALL);
    };
    let near = climb(start, &sketch)?;
    let end = newton(near.point, &Falling(surface), SKETCH_STEP_SMALL)?;
    let iterations = near.iterations + end.iterations;
    let best = if end.converged { end } else { near };
    Ok(Optimum { iterations, ..best })
}

fn bfgs<const N: usize>(
    start: [f64; N],
    f: &Falling<'_, impl Surface<N>>,
    slope_small: f64,
) -> Result<Optimum<N>> {
    let mut point = start;
    let (mut value, mut gradient) = f.slope(&point);
    let mut inverse = identity::<N>();
    let mut iterations = 0;
    while iterations < ITERATIONS_MAX && largest(&gradient) > slope_small {
        check_interrupt()?;
        iterations += 1;
        let mut direction = times(&inverse, &gradient).map(|step| -step);
        if dot(&direction, &gradient) >= 0.0 {
            inverse = identity();
            direction = gradient.map(|slope| -slope);
        }
        let longest = largest(&direction);
        if longest > STEP_MAX {
            direction = direction.map(|step| step * STEP_MAX / longest);
        }
        let Some((next, (next_value, next_gradient))) =
            line_search(&point, value, &gradient, &direction, f)
        else {
            break;
        };
        let step = minus(&next, &point);
        let change = minus(&next_gradient, &gradient);
        update(&mut inverse, &step, &change, iterations == 1);
        (point, value, gradient) = (next, next_value, next_gradient);
        if largest(&point) > LOG_PARAMETER_MAX {
            break;
        }
    }
    Ok(Optimum {
        point,
        value,
        iterations,
        converged: false,
    })
}

/// A step along the direction that falls enough and not too little; `None` if there is none.
fn line_search<const N: usize>(
    point: &[f64; N],
    value: f64,
    gradient: &[f64; N],
    direction: &[f64; N],
    f: &Falling<'_, impl Surface<N>>,
) -> Option<([f64; N], Slope<N>)> {
    const ENOUGH: f64 = 1e-4;
    const FLATTER: f64 = 0.9;
    let slope = dot(gradient, direction);
    let (mut low, mut high, mut length) = (0.0, f64::INFINITY, 1.0);
    let mut best = None;
    for _ in 0..TRIALS_MAX {
        let next = along(point, length, direction);
        let (next_value, next_gradient) = f.slope(&next);
        let usable = next_value.is_finite() && next_gradient.iter().all(|slope| slope.is_finite());
        if !usable || next_value > value + ENOUGH * length * slope {
            high = length;
        } else {
            best = Some((next, (next_value, next_gradient)));
            if dot(&next_gradient, direction) >= FLATTER * slope {
                break;
            }
            low = length;
        }
        length = if high.is_finite() {
            f64::midpoint(low, high)
        } else {
            2.0 * low
        };
    }
    best
}

/// The BFGS update of the inverse Hessian.
fn update<const N: usize>(
    inverse: &mut [[f64; N]; N],
    step: &[f64; N],
    change: &[f64; N],
    first: bool,
) {
    let curvature = dot(step, change);
    if curvature <= 0.0 {
        return;
    }
    if first {
        let scale = curvature / dot(change, change);
        inverse.iter_mut().flatten().for_each(|cell| *cell *= scale);
    }
    let turned = times(inverse, change);
    let factor = 1.0 + dot(change, &turned) / curvature;
    for (row, cells) in inverse.iter_mut().enumerate() {
        for (column, cell) in cells.iter_mut().enumerate() {
            *cell += (factor * step[row] * step[column]
                - turned[row] * step[column]
                - step[row] * turned[column])
                / curvature;
        }
    }
}

/// Newton's method from a point near a minimum; converged only if there is one.
fn newton<const N: usize>(
    start: [f64; N],
    f: &Falling<'_, impl Surface<N>>,
    step_small: f64,
) -> Result<Optimum<N>> {
    /// After so small a step the Hessian is about the same, and is not taken anew,
    const NEAR: f64 = 1e-3;
    /// unless the step was not this much smaller than the one before.
    const SHRINKS: f64 = 0.1;
    let mut point = start;
    let ((mut value, mut gradient), hessian) = f.curve(&point);
    let mut factor = cholesky(&hessian);
    let (mut before, mut converged, mut iterations) = (f64::INFINITY, false, 0);
    while iterations < NEWTON_MAX && largest(&point) <= LOG_PARAMETER_MAX {
        check_interrupt()?;
        iterations += 1;
        let Some(known) = &factor else {
            break;
        };
        let step = solve(known, &gradient).map(|step| -step);
        let size = largest(&step);
        if !size.is_finite() || size > STEP_MAX {
            break;
        }
        if size <= step_small {
            // The value is no other than here: the slope is as good as level.
            point = along(&point, 1.0, &step);
            converged = true;
            break;
        }
        point = along(&point, 1.0, &step);
        let slope = if size > NEAR || size > SHRINKS * before {
            let (slope, hessian) = f.curve(&point);
            factor = cholesky(&hessian);
            slope
        } else {
            f.slope(&point)
        };
        if !slope.0.is_finite() {
            break;
        }
        before = size;
        (value, gradient) = slope;
    }
    Ok(Optimum {
        point,
        value,
        iterations,
        converged,
    })
}

/// Second derivatives by central differences of the gradient.
fn differences<const N: usize>(surface: &impl Surface<N>, point: &[f64; N]) -> [[f64; N]; N] {
    const APART: f64 = 1e-4;
    let mut hessian = [[0.0; N]; N];
    for (axis, row) in hessian.iter_mut().enumerate() {
        let mut unit = [0.0; N];
        unit[axis] = 1.0;
        let (_, above) = surface.slope(&along(point, APART, &unit));
        let (_, below) = surface.slope(&along(point, -APART, &unit));
        *row = minus(&above, &below).map(|change| change / (2.0 * APART));
    }
    let mut symmetric = hessian;
    for row in 0..N {
        for column in 0..N {
            symmetric[row][column] = f64::midpoint(hessian[row][column], hessian[column][row]);
        }
    }
    symmetric
}

/// The lower factor; `None` unless the matrix is clearly positive definite.
fn cholesky<const N: usize>(matrix: &[[f64; N]; N]) -> Option<[[f64; N]; N]> {
    /// Of a pivot against its diagonal: less is noise of the differences.
    const CLEARLY: f64 = 1e-7;
    let mut factor = [[0.0; N]; N];
    for row in 0..N {
        for column in 0..=row {
            let known: f64 = (0..column)
                .map(|k| factor[row][k] * factor[column][k])
                .sum();
            let rest = matrix[row][column] - known;
            if row == column {
                // `!` also refuses NaN.
                if !(rest > CLEARLY * matrix[row][row] && rest > 0.0) {
                    return None;
                }
                factor[row][row] = rest.sqrt();
            } else {
                factor[row][column] = rest / factor[column][column];
            }
        }
    }
    Some(factor)
}

fn solve<const N: usize>(factor: &[[f64; N]; N], right: &[f64; N]) -> [f64; N] {
    let mut solution = *right;
    for row in 0..N {
        let known: f64 = (0..row).map(|k| factor[row][k] * solution[k]).sum();
        solution[row] = (solution[row] - known) / factor[row][row];
    }
    for row in (0..N).rev() {
        let known: f64 = (row + 1..N).map(|k| factor[k][row] * solution[k]).sum();
        solution[row] = (solution[row] - known) / factor[row][row];
    }
    solution
}

fn identity<const N: usize>() -> [[f64; N]; N] {
    let mut matrix = [[0.0; N]; N];
    for (index, row) in matrix.iter_mut().enumerate() {
        row[index] = 1.0;
    }
    matrix
}

fn times<const N: usize>(matrix: &[[f64; N]; N], vector: &[f64; N]) -> [f64; N] {
    matrix.map(|row| dot(&row, vector))
}

fn dot<const N: usize>(left: &[f64; N], right: &[f64; N]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

fn along<const N: usize>(point: &[f64; N], length: f64, direction: &[f64; N]) -> [f64; N] {
    let mut next = *point;
    for (next, step) in next.iter_mut().zip(direction) {
        *next += length * step;
    }
    next
}

fn minus<const N: usize>(left: &[f64; N], right: &[f64; N]) -> [f64; N] {
    along(left, -1.0, right)
}

fn largest<const N: usize>(vector: &[f64; N]) -> f64 {
    vector.iter().map(|value| value.abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_a_curved_ridge_is_found_to_the_digit() {
        let f = |[x, y]: &[f64; 2]| {
            let off = y - x * x;
            let value = -(1.0 - x).powi(2) - 10.0 * off * off;
            (value, [2.0 * (1.0 - x) + 40.0 * off * x, -20.0 * off])
        };
        let end = maximise(&[[-1.2, 1.0]], &f).unwrap().unwrap();
        assert!(end.converged, "{end:?}");
        assert!((end.point[0] - 1.0).abs() < 1e-9 && (end.point[1] - 1.0).abs() < 1e-9);
    }

    /// The gradient vanishes at infinity, but that is no maximum.
    #[test]
    fn a_slope_without_a_top_does_not_converge() {
        let end = maximise(&[[0.0]], &|[x]: &[f64; 1]| (-x.exp(), [-x.exp()]))
            .unwrap()
            .unwrap();
        assert!(!end.converged, "{end:?}");
        let flat = maximise(&[[0.0, 0.0]], &|[x, y]: &[f64; 2]| {
            let off = x + y;
            (-off * off, [-2.0 * off, -2.0 * off])
        });
        assert!(
            !flat.unwrap().unwrap().converged,
            "a ridge that is level has no top"
        );
    }

    /// A surface whose sketch is elsewhere.
    struct Sketched {
        top: f64,
        of_sketches: &'static [f64],
    }

    impl Surface<1> for Sketched {
        fn slope(&self, [x]: &[f64; 1]) -> Slope<1> {
            (-(x - self.top).powi(2), [-2.0 * (x - self.top)])
        }

        fn sketch(&self) -> Option<Self> {
            let (top, of_sketches) = self.of_sketches.split_first()?;
            let top = *top;
            Some(Self { top, of_sketches })
        }
    }

    #[test]
    fn a_sketch_only_says_where_to_start() {
        for of_sketches in [
            &[1.1] as &[f64],
            &[f64::NAN],
            &[15.0],
            &[0.9, 1.2, 0.8],
            &[f64::NAN, 1.2],
        ] {
            let top = 1.0;
            let end = maximise(&[[0.0]], &Sketched { top, of_sketches })
                .unwrap()
                .unwrap();
            assert!(
                end.converged && (end.point[0] - 1.0).abs() < 1e-9,
                "{end:?}"
            );
        }
    }

    #[test]
    fn another_start_is_tried() {
        let f = |[x]: &[f64; 1]| {
            if *x > 100.0 {
                (f64::NAN, [f64::NAN])
            } else {
                (-(x - 1.0).powi(2), [-2.0 * (x - 1.0)])
            }
        };
        assert!(maximise(&[[200.0], [0.0]], &f).unwrap().unwrap().converged);
    }
}
