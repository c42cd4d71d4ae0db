//! Sums of money that do not drift: DECIMAL and whole numbers are added exactly in 128 bits, DOUBLE
//! with the rounding error of every addition carried along, so that the result does
//! not depend on how rows were split, and rows can leave a window frame without residue.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Float64Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DataType, Decimal128Type, DecimalType, Field,
};
use datafusion_common::cast::{
    as_decimal128_array, as_float64_array, as_int64_array, as_uint64_array,
};
use datafusion_common::{Result, internal_err};

use crate::arguments::{finite, invalid_call};
use crate::precise::{BatchSum, FloatSum};

/// Digits that a mean of DECIMAL has after the point beyond those of its input, as in `avg`.
const MEAN_EXTRA_DIGITS: i8 = 4;

/// How amounts of one argument type are read and added.
pub(crate) trait Amount: Copy + Debug + Send + Sync + 'static {
    /// A sum; its default is zero.
    type Sum: Copy + Debug + Default + Send + Sync;
    /// The amount column of a batch.
    type Column<'a>;

    /// Looks at a batch's amount column.
    fn column<'a>(&self, array: &'a ArrayRef) -> Result<Self::Column<'a>>;
    /// Adds one row's amount.
    fn add(&self, sum: &mut Self::Sum, column: &Self::Column<'_>, row: usize) -> Result<()>;
    /// Takes one row's amount off again.
    fn subtract(&self, sum: &mut Self::Sum, column: &Self::Column<'_>, row: usize) -> Result<()>;
    /// Adds the amounts of all rows, none of which is NULL.
    fn add_all(&self, sum: &mut Self::Sum, column: &Self::Column<'_>, rows: usize) -> Result<()> {
        (0..rows).try_for_each(|row| self.add(sum, column, row))
    }
    /// Sums and numbers of the amounts of so many groups, none of which is NULL; `None` if that is
    /// for the rows in their order to say.
    fn of_groups(
        &self,
        column: &Self::Column<'_>,
        groups: &[usize],
        count: usize,
    ) -> Option<Vec<(Self::Sum, i64)>>;
    /// Adds another sum.
    fn merge(&self, sum: &mut Self::Sum, other: Self::Sum) -> Result<()>;

    /// Fields of the partial state of a sum.
    fn fields(&self) -> Vec<Field>;
    /// Sums as columns, matching [`Amount::fields`].
    fn write(&self, sums: &[Self::Sum]) -> Vec<ArrayRef>;
    /// The reverse of [`Amount::write`].
    fn read(&self, columns: &[ArrayRef]) -> Result<Vec<Self::Sum>>;

    /// The sum as DOUBLE.
    fn to_f64(&self, sum: Self::Sum) -> Result<f64>;
    /// Each sum divided by its count, in the type [`mean_type`] names; NULL where the count is 0.
    fn mean(&self, sums: &[Self::Sum], counts: &[i64]) -> Result<ArrayRef>;
}

/// The type of a mean of amounts: DECIMAL for DECIMAL with four more digits, as `avg` has it;
/// otherwise DOUBLE.
pub(crate) fn mean_type(amount: &DataType) -> DataType {
    match amount {
        DataType::Decimal128(precision, scale) => DataType::Decimal128(
            DECIMAL128_MAX_PRECISION.min(precision + MEAN_EXTRA_DIGITS.unsigned_abs()),
            DECIMAL128_MAX_SCALE.min(scale + MEAN_EXTRA_DIGITS),
        ),
        _ => DataType::Float64,
    }
}

/// Amounts in DOUBLE.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FloatAmount {
    /// For messages.
    pub(crate) function: &'static str,
}

impl Amount for FloatAmount {
    type Sum = FloatSum;
    type Column<'a> = &'a Float64Array;

    fn column<'a>(&self, array: &'a ArrayRef) -> Result<&'a Float64Array> {
        as_float64_array(array)
    }

    #[inline]
    fn add(&self, sum: &mut FloatSum, column: &Self::Column<'_>, row: usize) -> Result<()> {
        sum.add(finite(self.function, "amount", column.value(row))?);
        Ok(())
    }

    #[inline]
    fn subtract(&self, sum: &mut FloatSum, column: &Self::Column<'_>, row: usize) -> Result<()> {
        sum.add(-column.value(row));
        Ok(())
    }

    fn add_all(&self, sum: &mut FloatSum, column: &Self::Column<'_>, rows: usize) -> Result<()> {
        // A bad value makes the sum of the batch non-finite and is then found row by row.
        let batch = BatchSum::of(column.values());
        if batch.is_finite() {
            sum.add_batch(batch);
            return Ok(());
        }
        (0..rows).try_for_each(|row| self.add(sum, column, row))
    }

    fn of_groups(
        &self,
        column: &Self::Column<'_>,
        groups: &[usize],
        count: usize,
    ) -> Option<Vec<(FloatSum, i64)>> {
        let mut found = vec![(BatchSum::default(), 0); count];
        for (amount, group) in column.values().iter().zip(groups) {
            let (sum, amounts) = &mut found[*group];
            sum.add(*amount);
            *amounts += 1;
        }
        let sum = |(batch, amounts): (BatchSum, i64)| {
            let mut sum = FloatSum::default();
            sum.add_batch(batch);
            batch.is_finite().then_some((sum, amounts))
        };
        found.into_iter().map(sum).collect()
    }

    fn merge(&self, sum: &mut FloatSum, other: FloatSum) -> Result<()> {
        sum.merge(other);
        Ok(())
    }

    fn fields(&self) -> Vec<Field> {
        FloatSum::fields("sum")
    }

    fn write(&self, sums: &[FloatSum]) -> Vec<ArrayRef> {
        FloatSum::write(sums.iter())
    }

    fn read(&self, columns: &[ArrayRef]) -> Result<Vec<FloatSum>> {
        FloatSum::read(columns)
    }

    fn to_f64(&self, sum: FloatSum) -> Result<f64> {
        let total = sum.total();
        if total.is_finite() {
            return Ok(total);
        }
        Err(invalid_call(
            self.function,
            "the sum of amount is too large for DOUBLE; cast amount to DECIMAL",
        ))
    }

    fn mean(&self, sums: &[FloatSum], counts: &[i64]) -> Result<ArrayRef> {
        float_means(self, sums, counts)
    }
}

/// Amounts in DECIMAL or in whole numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExactAmount {
    /// For messages.
    pub(crate) function: &'static str,
    /// Precision and scale of the mean, if it is DECIMAL.
    mean: Option<(u8, i8)>,
    /// Scale of the input; 0 for whole numbers.
    scale: i8,
}

impl ExactAmount {
    /// For the amount type that `arguments::amount` has chosen.
    pub(crate) fn new(function: &'static str, amount: &DataType) -> Self {
        match (amount, mean_type(amount)) {
            (DataType::Decimal128(_, scale), DataType::Decimal128(precision, mean_scale)) => Self {
                function,
                mean: Some((precision, mean_scale)),
                scale: *scale,
            },
            _ => Self {
                function,
                mean: None,
                scale: 0,
            },
        }
    }

    fn checked(&self, sum: Option<i128>) -> Result<i128> {
        sum.ok_or_else(|| {
            invalid_call(
                self.function,
                "the sum of amount does not fit in 38 digits; cast amount to DOUBLE",
            )
        })
    }

    fn state_type(&self) -> DataType {
        DataType::Decimal128(DECIMAL128_MAX_PRECISION, self.scale)
    }

    /// The mean at the result's scale, rounded half away from zero as PostgreSQL's numeric is.
    fn exact_mean(&self, sum: i128, count: i64, precision: u8, scale: i8) -> Result<i128> {
        let count = i128::from(count);
        let mean = 10_i128
            .checked_pow(u32::from(scale.abs_diff(self.scale)))
            .and_then(|factor| sum.checked_mul(factor))
            .and_then(|scaled| (scaled / count).checked_add(rounding(scaled % count, count)));
        match mean {
            Some(mean) if Decimal128Type::is_valid_decimal_precision(mean, precision) => Ok(mean),
            _ => Err(invalid_call(
                self.function,
                "the mean of amount does not fit in 38 digits; cast amount to DOUBLE or to a \
                 DECIMAL with fewer digits",
            )),
        }
    }
}

/// The sum of amounts, in several sums at once; `None` where one of them does not fit in 128 bits.
fn total(values: &[i128]) -> Option<i128> {
    const LANES: usize = 4;
    let mut lanes = [0_i128; LANES];
    let mut lost = false;
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            let (sum, overflow) = lane.overflowing_add(*value);
            *lane = sum;
            lost |= overflow;
        }
    }
    let parts = lanes.iter().chain(chunks.remainder());
    let total = parts.copied().try_fold(0_i128, i128::checked_add);
    total.filter(|_| !lost)
}

/// Sums and numbers of the amounts of so many groups; `None` where a sum does not fit in 128 bits.
fn totals(
    amounts: impl Iterator<Item = i128>,
    groups: &[usize],
    count: usize,
) -> Option<Vec<(i128, i64)>> {
    let mut found = vec![(0_i128, 0); count];
    let mut lost = false;
    for (amount, group) in amounts.zip(groups) {
        let (sum, amounts) = &mut found[*group];
        let (more, overflow) = sum.overflowing_add(amount);
        *sum = more;
        lost |= overflow;
        *amounts += 1;
    }
    (!lost).then_some(found)
}

/// One away from zero if the remainder is at least half of the divisor.
fn rounding(remainder: i128, divisor: i128) -> i128 {
    if remainder.abs() >= divisor - remainder.abs() {
        remainder.signum()
    } else {
        0
    }
}

/// Amounts that convert to 128 bits without loss.
#[derive(Debug)]
pub(crate) enum ExactColumn<'a> {
    Decimal(&'a ScalarBuffer<i128>),
    Signed(&'a ScalarBuffer<i64>),
    Unsigned(&'a ScalarBuffer<u64>),
}

impl ExactColumn<'_> {
    #[inline]
    fn at(&self, row: usize) -> i128 {
        match self {
            Self::Decimal(values) => values[row],
            Self::Signed(values) => i128::from(values[row]),
            Self::Unsigned(values) => i128::from(values[row]),
        }
    }
}

impl Amount for ExactAmount {
    type Sum = i128;
    type Column<'a> = ExactColumn<'a>;

    fn column<'a>(&self, array: &'a ArrayRef) -> Result<ExactColumn<'a>> {
        Ok(match array.data_type() {
            DataType::Decimal128(_, _) => {
                ExactColumn::Decimal(as_decimal128_array(array)?.values())
            }
            DataType::Int64 => ExactColumn::Signed(as_int64_array(array)?.values()),
            DataType::UInt64 => ExactColumn::Unsigned(as_uint64_array(array)?.values()),
            other => return internal_err!("an exact amount column has type {other}"),
        })
    }

    #[inline]
    fn add(&self, sum: &mut i128, column: &ExactColumn<'_>, row: usize) -> Result<()> {
        *sum = self.checked(sum.checked_add(column.at(row)))?;
        Ok(())
    }

    #[inline]
    fn subtract(&self, sum: &mut i128, column: &ExactColumn<'_>, row: usize) -> Result<()> {
        *sum = self.checked(sum.checked_sub(column.at(row)))?;
        Ok(())
    }

    fn add_all(&self, sum: &mut i128, column: &ExactColumn<'_>, rows: usize) -> Result<()> {
        let batch = match column {
            ExactColumn::Decimal(values) => total(values),
            ExactColumn::Signed(values) => Some(values.iter().copied().map(i128::from).sum()),
            ExactColumn::Unsigned(values) => Some(values.iter().copied().map(i128::from).sum()),
        };
        // Where parts are too large it is for the rows in their order to say.
        if let Some(total) = batch.and_then(|batch| sum.checked_add(batch)) {
            *sum = total;
            return Ok(());
        }
        (0..rows).try_for_each(|row| self.add(sum, column, row))
    }

    fn of_groups(
        &self,
        column: &ExactColumn<'_>,
        groups: &[usize],
        count: usize,
    ) -> Option<Vec<(i128, i64)>> {
        match column {
            ExactColumn::Decimal(values) => totals(values.iter().copied(), groups, count),
            ExactColumn::Signed(values) => {
                totals(values.iter().copied().map(i128::from), groups, count)
            }
            ExactColumn::Unsigned(values) => {
                totals(values.iter().copied().map(i128::from), groups, count)
            }
        }
    }

    fn merge(&self, sum: &mut i128, other: i128) -> Result<()> {
        *sum = self.checked(sum.checked_add(other))?;
        Ok(())
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::new("sum", self.state_type(), true)]
    }

    fn write(&self, sums: &[i128]) -> Vec<ArrayRef> {
        let sums = Decimal128Array::from_iter_values(sums.iter().copied());
        vec![Arc::new(sums.with_data_type(self.state_type()))]
    }

    fn read(&self, columns: &[ArrayRef]) -> Result<Vec<i128>> {
        Ok(as_decimal128_array(&columns[0])?.values().to_vec())
    }

    fn to_f64(&self, sum: i128) -> Result<f64> {
        Ok(sum as f64 / 10_f64.powi(i32::from(self.scale)))
    }

    fn mean(&self, sums: &[i128], counts: &[i64]) -> Result<ArrayRef> {
        let Some((precision, scale)) = self.mean else {
            return float_means(self, sums, counts);
        };
        let mean = |(sum, count): (&i128, &i64)| {
            (*count > 0)
                .then(|| self.exact_mean(*sum, *count, precision, scale))
                .transpose()
        };
        let means = sums
            .iter()
            .zip(counts)
            .map(mean)
            .collect::<Result<Decimal128Array>>()?;
        Ok(Arc::new(
            means.with_data_type(DataType::Decimal128(precision, scale)),
        ))
    }
}

fn float_means<A: Amount>(amount: &A, sums: &[A::Sum], counts: &[i64]) -> Result<ArrayRef> {
    let mean = |(sum, count): (&A::Sum, &i64)| {
        (*count > 0)
            .then(|| amount.to_f64(*sum).map(|sum| sum / *count as f64))
            .transpose()
    };
    Ok(Arc::new(
        sums.iter()
            .zip(counts)
            .map(mean)
            .collect::<Result<Float64Array>>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_decimals_is_rounded_half_away_from_zero() {
        let amount = ExactAmount::new("aov", &DataType::Decimal128(10, 2));
        // 0.01 + 0.01 over 3 orders is 0.006667 at six digits.
        assert_eq!(amount.exact_mean(2, 3, 14, 6).unwrap(), 6_667);
        assert_eq!(amount.exact_mean(-2, 3, 14, 6).unwrap(), -6_667);
        assert_eq!(rounding(1, 2), 1);
        assert_eq!(rounding(-1, 2), -1);
        assert_eq!(rounding(1, 3), 0);
    }

    #[test]
    fn a_batch_is_summed_as_its_rows_are() {
        let amount = ExactAmount::new("aov", &DataType::Decimal128(38, 0));
        for values in [vec![5; 11], vec![i128::MAX, 1, -1, -7, 3, 2], vec![]] {
            let column = ExactColumn::Decimal(&ScalarBuffer::from(values.clone()));
            let mut by_row: Result<i128> = Ok(0);
            for row in 0..values.len() {
                by_row = by_row.and_then(|mut sum| {
                    amount.add(&mut sum, &column, row)?;
                    Ok(sum)
                });
            }
            let mut sum = 0;
            let whole = amount.add_all(&mut sum, &column, values.len());
            let whole = whole.map(|()| sum).map_err(|error| error.to_string());
            let groups = vec![1; values.len()];
            if let Some(totals) = amount.of_groups(&column, &groups, 2) {
                assert_eq!(
                    totals,
                    [(0, 0), (whole.clone().unwrap(), values.len() as i64)]
                );
            } else {
                assert!(whole.is_err());
            }
            assert_eq!(whole, by_row.map_err(|error| error.to_string()));
        }
    }

    #[test]
    fn doubles_have_one_sum_however_they_are_split() {
        let amount = FloatAmount { function: "aov" };
        let cents = (0..5_000).map(|row: i64| (row * 7_919 % 100_003) as f64 / 100.0);
        let column: ArrayRef = Arc::new(cents.collect::<Float64Array>());
        let whole = amount.column(&column).unwrap();
        let groups: Vec<_> = (0..5_000).map(|row| row % 3).collect();
        let mut by_row = [FloatSum::default(); 3];
        for (row, group) in groups.iter().enumerate() {
            amount.add(&mut by_row[*group], &whole, row).unwrap();
        }
        let by_group = amount.of_groups(&whole, &groups, 3).unwrap();
        let mut all = FloatSum::default();
        for (by_row, (by_group, amounts)) in by_row.iter().zip(by_group) {
            assert_eq!(by_group.total(), by_row.total());
            assert!((1_666..=1_667).contains(&amounts));
            all.merge(by_group);
        }
        for size in [1, 7, 64, 1_000, 5_000] {
            let mut sum = FloatSum::default();
            for start in (0..5_000).step_by(size) {
                let part = column.slice(start, size.min(5_000 - start));
                let part = amount.column(&part).unwrap();
                amount.add_all(&mut sum, &part, part.len()).unwrap();
            }
            assert_eq!(sum.total(), all.total(), "{size}");
        }
        for bad in [f64::NAN, f64::INFINITY] {
            let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0, bad, 2.0]));
            let column = amount.column(&column).unwrap();
            assert!(amount.of_groups(&column, &[0, 1, 0], 2).is_none());
            assert!(amount.add_all(&mut all, &column, 3).is_err());
        }
    }

    #[test]
    fn a_sum_beyond_128_bits_is_refused() {
        let amount = ExactAmount::new("aov", &DataType::Decimal128(38, 0));
        let mut sum = i128::MAX;
        let error = amount.merge(&mut sum, 1).unwrap_err().to_string();
        assert!(error.contains("38 digits"), "{error}");
    }
}
