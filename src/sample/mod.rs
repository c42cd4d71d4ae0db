//! Demo data: the customers of an online shop as a pure function of seed and scale.
//!
//! Every customer has a latent satisfaction, a purchase rate, a chance to leave after each order
//! and a level of spending, drawn as the BG/NBD and Gamma-Gamma models have it (Fader, Hardie, Lee
//! 2005: "Counting your customers the easy way"; "RFM and CLV"). Orders, events, surveys, reviews
//! and subscriptions follow from these, so that the loyalty functions find in the data what they
//! look for. All of it happens from 2023-01-01 to 2025-12-31 and in one currency.
//!
//! A customer's rows depend on the seed and the customer's number alone: a larger scale adds
//! customers and leaves the others as they were, and chunks can be made in any order.

mod calendar;
mod columns;
mod customers;
mod dice;
mod events;
mod folder;
mod orders;
mod phrases;
mod reviews;
mod subscriptions;
mod surveys;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};

use self::calendar::Calendar;
use self::customers::Profile;
use crate::error::{Error, Result};

pub use self::folder::{SampleProgress, SampleSummary, holds, write};

/// Customers at scale 1; orders are about twenty times, survey answers three times as many.
pub const CUSTOMERS_AT_SCALE_ONE: f64 = 10_000.0;

/// The smallest scale: ten customers.
pub const MIN_SCALE: f64 = 0.001;

/// The largest scale: ten million customers.
pub const MAX_SCALE: f64 = 1_000.0;

/// The seed of the demo.
pub const DEFAULT_SEED: u64 = 42;

/// Customers whose rows are made at once. A chunk of the largest table is about 30,000 rows.
const CUSTOMERS_PER_CHUNK: i64 = 1_000;

/// Row ids are customer × this + ordinal, so that no id depends on another customer's rows.
const IDS_PER_CUSTOMER: i64 = 100_000;

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    /// Size relative to [`CUSTOMERS_AT_SCALE_ONE`], from [`MIN_SCALE`] to [`MAX_SCALE`].
    pub scale: f64,
    /// Another seed gives other customers.
    pub seed: u64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            scale: 1.0,
            seed: DEFAULT_SEED,
        }
    }
}

impl SampleOptions {
    /// The number of customers; 22023 if the scale is out of range.
    pub fn customers(&self) -> Result<u64> {
        let Self { scale, .. } = *self;
        if (MIN_SCALE..=MAX_SCALE).contains(&scale) {
            return Ok((scale * CUSTOMERS_AT_SCALE_ONE).round() as u64);
        }
        Err(
            Error::invalid_parameter_value(format!("scale {scale} is out of range"))
                .with_detail(format!(
                    "The scale must lie between {MIN_SCALE} and {MAX_SCALE}."
                ))
                .with_hint("Scale 1 has 10,000 customers and about 200,000 orders."),
        )
    }
}

/// A table of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleTable {
    /// Who they are: one row per customer.
    Customers,
    /// What they bought; one folder per month.
    Orders,
    /// What they did on the site, and when they asked for help; one folder per month. The tracker
    /// follows a fraction of the visits.
    Events,
    /// How they answered NPS (`score`) and CSAT (`csat_score`) surveys.
    Surveys,
    /// What they wrote, in English, Russian or Ukrainian.
    Reviews,
    /// What they pay for by the month.
    Subscriptions,
}

impl SampleTable {
    /// All tables in the order in which they are written.
    pub const ALL: [Self; 6] = [
        Self::Customers,
        Self::Orders,
        Self::Events,
        Self::Surveys,
        Self::Reviews,
        Self::Subscriptions,
    ];

    /// The name in SQL and in the folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Orders => "orders",
            Self::Events => "events",
            Self::Surveys => "surveys",
            Self::Reviews => "reviews",
            Self::Subscriptions => "subscriptions",
        }
    }

    /// Whether the table is a folder with `year=…/month=…/` levels instead of one file.
    pub fn is_monthly(self) -> bool {
        matches!(self, Self::Orders | Self::Events)
    }

    /// The columns; those of a monthly table end with `year` and `month`.
    pub fn schema(self) -> SchemaRef {
        let mut fields = match self {
            Self::Customers => customers::fields(),
            Self::Orders => orders::fields(),
            Self::Events => events::fields(),
            Self::Surveys => surveys::fields(),
            Self::Reviews => reviews::fields(),
            Self::Subscriptions => subscriptions::fields(),
        };
        if self.is_monthly() {
            fields.extend(columns::month_fields());
        }
        Arc::new(Schema::new(fields))
    }

    /// The table's part in the key of its random streams; never changes.
    fn tag(self) -> u64 {
        match self {
            Self::Customers => 1,
            Self::Orders => 2,
            Self::Events => 3,
            Self::Surveys => 4,
            Self::Reviews => 5,
            Self::Subscriptions => 6,
        }
    }
}

/// The rows of one table, by customer; in a monthly table by month and customer within each batch.
///
/// At most a thousand customers are in memory at a time. Fails with 22023 if the scale
/// is out of range.
pub fn batches(
    options: &SampleOptions,
    table: SampleTable,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
    let world = World::new(options)?;
    let schema = table.schema();
    Ok(world
        .chunks()
        .map(move |chunk| chunk_batch(&world, table, &schema, chunk)))
}

/// What all customers share.
struct World {
    seed: u64,
    customers: i64,
    calendar: Calendar,
}

impl World {
    fn new(options: &SampleOptions) -> Result<Self> {
        let customers = options.customers()? as i64;
        Ok(Self {
            seed: options.seed,
            customers,
            calendar: Calendar::new(),
        })
    }

    /// The customers' numbers, from 1, in bounded ranges.
    fn chunks(&self) -> impl Iterator<Item = Range<i64>> + Send + use<> {
        let end = self.customers + 1;
        (1..end)
            .step_by(CUSTOMERS_PER_CHUNK as usize)
            .map(move |first| first..(first + CUSTOMERS_PER_CHUNK).min(end))
    }

    fn profiles(&self, customers: Range<i64>) -> impl Iterator<Item = Profile> {
        customers.map(|customer| Profile::new(self, customer))
    }
}

/// The rows of some customers in one table.
fn chunk_batch(
    world: &World,
    table: SampleTable,
    schema: &SchemaRef,
    customers: Range<i64>,
) -> Result<RecordBatch> {
    match table {
        SampleTable::Customers => customers::batch(world, schema, customers),
        SampleTable::Orders => orders::batch(world, schema, customers),
        SampleTable::Events => events::batch(world, schema, customers),
        SampleTable::Surveys => surveys::batch(world, schema, customers),
        SampleTable::Reviews => reviews::batch(world, schema, customers),
        SampleTable::Subscriptions => subscriptions::batch(world, schema, customers),
    }
}

/// The id of a customer's `index`-th row (from 0) in any table.
fn row_id(customer: i64, index: usize) -> i64 {
    customer * IDS_PER_CUSTOMER + 1 + index as i64
}
