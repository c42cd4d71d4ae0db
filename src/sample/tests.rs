//! The sample as a whole: what the tables promise each other, and the folder they land in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::calendar::{DAY, DAYS, END, FIRST_DAY, START};
use super::*;
use crate::sqlstate::SqlState;

const SMALL: SampleOptions = SampleOptions {
    scale: 0.01,
    seed: 7,
};
const MEDIUM: SampleOptions = SampleOptions {
    scale: 0.1,
    seed: 7,
};

const SECOND: i64 = 1_000_000;

fn table(options: &SampleOptions, table: SampleTable) -> RecordBatch {
    let all: Vec<_> = batches(options, table)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    concat_batches(&table.schema(), &all).unwrap()
}

fn values<T: ArrowPrimitiveType>(batch: &RecordBatch, column: &str) -> Vec<Option<T::Native>> {
    batch
        .column_by_name(column)
        .unwrap()
        .as_primitive::<T>()
        .iter()
        .collect()
}

fn bigints(batch: &RecordBatch, column: &str) -> Vec<i64> {
    values::<Int64Type>(batch, column)
        .into_iter()
        .map(Option::unwrap)
        .collect()
}

fn seconds(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let micros = values::<TimestampMicrosecondType>(batch, column);
    micros
        .into_iter()
        .map(|value| value.unwrap() / SECOND)
        .collect()
}

fn cents(batch: &RecordBatch, column: &str) -> Vec<i128> {
    values::<Decimal128Type>(batch, column)
        .into_iter()
        .map(Option::unwrap)
        .collect()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let texts = batch.column_by_name(column).unwrap().as_string::<i32>();
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

fn text_set(batch: &RecordBatch, column: &str) -> BTreeSet<String> {
    texts(batch, column).into_iter().flatten().collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn share(hits: usize, all: usize) -> f64 {
    hits as f64 / all as f64
}

/// NPS in points of scores 0 to 10.
fn nps(scores: &[i16]) -> f64 {
    let promoters = scores.iter().filter(|&&score| score >= 9).count();
    let detractors = scores.iter().filter(|&&score| score <= 6).count();
    100.0 * (share(promoters, scores.len()) - share(detractors, scores.len()))
}

#[test]
fn same_options_same_rows() {
    for name in SampleTable::ALL {
        assert_eq!(table(&SMALL, name), table(&SMALL, name));
        let other = SampleOptions { seed: 8, ..SMALL };
        assert_ne!(table(&SMALL, name), table(&other, name), "{}", name.name());
    }
}

#[test]
fn a_larger_scale_only_adds_customers() {
    let more = SampleOptions {
        scale: 0.02,
        ..SMALL
    };
    for name in SampleTable::ALL {
        let (few, many) = (table(&SMALL, name), table(&more, name));
        assert!(many.num_rows() > few.num_rows());
        let id = few.schema().field(0).name().clone();
        let known: BTreeSet<i64> = bigints(&few, &id).into_iter().collect();
        let ids: BTreeSet<i64> = bigints(&many, &id).into_iter().collect();
        assert!(known.is_subset(&ids));
        assert_eq!(ids.len(), many.num_rows(), "{} repeats an id", name.name());
    }
}

#[test]
fn chunks_do_not_depend_on_each_other() {
    let world = World::new(&SMALL).unwrap();
    for name in SampleTable::ALL
        .into_iter()
        .filter(|name| !name.is_monthly())
    {
        let schema = name.schema();
        let later = chunk_batch(&world, name, &schema, 51..101).unwrap();
        let earlier = chunk_batch(&world, name, &schema, 1..51).unwrap();
        let whole = concat_batches(&schema, [&earlier, &later]).unwrap();
        assert_eq!(whole, table(&SMALL, name));
    }
}

#[test]
fn scale_is_checked() {
    for scale in [0.0, -1.0, 0.0009, 1_000.1, f64::NAN, f64::INFINITY] {
        let error = SampleOptions { scale, seed: 1 }.customers().unwrap_err();
        assert_eq!(error.state(), SqlState::InvalidParameterValue);
    }
    let customers = |scale| SampleOptions { scale, seed: 1 }.customers().unwrap();
    assert_eq!(
        [customers(MIN_SCALE), customers(1.0), customers(100.0)],
        [10, 10_000, 1_000_000]
    );
    assert_eq!(customers(MAX_SCALE), 10_000_000);
}

#[test]
fn chunks_cover_all_customers_once() {
    for customers in [1, 999, 1_000, 1_001, 2_500] {
        let world = World {
            seed: 1,
            customers,
            calendar: Calendar::new(),
        };
        let all: Vec<i64> = world.chunks().flatten().collect();
        assert_eq!(all, (1..=customers).collect::<Vec<_>>());
        assert!(
            world
                .chunks()
                .all(|chunk| chunk.end - chunk.start <= CUSTOMERS_PER_CHUNK)
        );
    }
}

#[test]
fn the_volume_is_as_promised() {
    let customers = table(&MEDIUM, SampleTable::Customers).num_rows();
    assert_eq!(customers, 1_000);
    let per_customer = |name| share(table(&MEDIUM, name).num_rows(), customers);
    let orders = per_customer(SampleTable::Orders);
    assert!((15.0..25.0).contains(&orders), "{orders} orders");
    let events = per_customer(SampleTable::Events) / orders;
    assert!((1.2..1.8).contains(&events), "{events} events per order");
    let surveys = per_customer(SampleTable::Surveys);
    assert!((2.5..3.5).contains(&surveys), "{surveys} surveys");
    let reviews = per_customer(SampleTable::Reviews);
    assert!((0.3..1.0).contains(&reviews), "{reviews} reviews");
    let subscriptions = per_customer(SampleTable::Subscriptions);
    assert!(
        (0.1..0.4).contains(&subscriptions),
        "{subscriptions} subscriptions"
    );
}

/// Every row belongs to a customer, and lies between sign-up and the end.
#[test]
fn rows_belong_to_customers_of_that_time() {
    let customers = table(&MEDIUM, SampleTable::Customers);
    let signed_up: HashMap<i64, i64> = bigints(&customers, "customer_id")
        .into_iter()
        .zip(seconds(&customers, "signed_up_at"))
        .collect();
    assert!(
        signed_up
            .values()
            .all(|second| (START..END).contains(second))
    );
    for (name, column) in [
        (SampleTable::Orders, "ordered_at"),
        (SampleTable::Events, "occurred_at"),
        (SampleTable::Surveys, "answered_at"),
        (SampleTable::Reviews, "posted_at"),
    ] {
        let rows = table(&MEDIUM, name);
        for (customer, at) in bigints(&rows, "customer_id")
            .iter()
            .zip(seconds(&rows, column))
        {
            assert!(
                at >= signed_up[customer] && at < END,
                "{column} of {customer}"
            );
        }
    }
    let rows = table(&MEDIUM, SampleTable::Subscriptions);
    let starts = values::<Date32Type>(&rows, "start_date");
    let ends = values::<Date32Type>(&rows, "end_date");
    let reasons = texts(&rows, "cancel_reason");
    for (index, customer) in bigints(&rows, "customer_id").iter().enumerate() {
        let start = i64::from(starts[index].unwrap());
        assert!(start >= signed_up[customer] / DAY && start < FIRST_DAY + DAYS);
        assert_eq!(ends[index].is_some(), reasons[index].is_some());
        assert!(ends[index].is_none_or(|end| {
            let end = i64::from(end);
            end > start && end < FIRST_DAY + DAYS
        }));
    }
    assert!(ends.iter().any(Option::is_some) && ends.iter().any(Option::is_none));
}

#[test]
fn customers_are_plausible() {
    let rows = table(&MEDIUM, SampleTable::Customers);
    let emails = text_set(&rows, "email");
    assert_eq!(emails.len(), rows.num_rows());
    assert!(
        emails
            .iter()
            .all(|email| email.is_ascii() && email.contains("@example."))
    );
    let countries = texts(&rows, "country");
    let germans = countries
        .iter()
        .filter(|code| code.as_deref() == Some("DE"))
        .count();
    assert!((200..330).contains(&germans), "{germans}");
    assert!(text_set(&rows, "country").len() >= 9);
    assert_eq!(
        text_set(&rows, "segment"),
        set(&["business", "consumer", "family", "student"])
    );
    let birthdays = values::<Date32Type>(&rows, "birth_date");
    assert!((10..90).contains(&birthdays.iter().filter(|day| day.is_none()).count()));
    let adult = (FIRST_DAY - 18 * 365) as i32;
    assert!(
        birthdays
            .iter()
            .flatten()
            .all(|&day| day <= adult && day > -20_000)
    );
}

#[test]
fn points_are_those_of_completed_orders() {
    let orders = table(&MEDIUM, SampleTable::Orders);
    let mut earned: HashMap<i64, i64> = HashMap::new();
    let status = texts(&orders, "status");
    let amounts = cents(&orders, "amount");
    for (index, customer) in bigints(&orders, "customer_id").into_iter().enumerate() {
        if status[index].as_deref() == Some("completed") {
            *earned.entry(customer).or_default() += (amounts[index] / 100) as i64;
        }
    }
    let customers = table(&MEDIUM, SampleTable::Customers);
    let members = customers
        .column_by_name("loyalty_member")
        .unwrap()
        .as_boolean()
        .clone();
    let points = values::<Int32Type>(&customers, "lifetime_points");
    for (index, id) in bigints(&customers, "customer_id").into_iter().enumerate() {
        let expected = if members.value(index) {
            earned.get(&id).copied().unwrap_or(0)
        } else {
            0
        };
        assert_eq!(i64::from(points[index].unwrap()), expected);
    }
    assert!((0.3..0.6).contains(&share(members.true_count(), members.len())));
}

#[test]
fn orders_are_in_range() {
    let rows = table(&MEDIUM, SampleTable::Orders);
    assert!(
        cents(&rows, "amount")
            .iter()
            .all(|&cents| (100..1_000_000_000).contains(&cents))
    );
    let discounts = cents(&rows, "discount");
    let discounted = discounts.iter().filter(|&&cents| cents > 0).count();
    assert!(discounts.iter().all(|&cents| cents >= 0));
    assert!((0.15..0.40).contains(&share(discounted, discounts.len())));
    assert!(
        values::<Int32Type>(&rows, "items")
            .iter()
            .flatten()
            .all(|items| (1..100).contains(items))
    );
    assert_eq!(
        text_set(&rows, "status"),
        set(&["cancelled", "completed", "returned"])
    );
    assert_eq!(text_set(&rows, "currency"), set(&["EUR"]));
    let mean = cents(&rows, "amount").iter().sum::<i128>() as f64 / rows.num_rows() as f64;
    assert!((4_000.0..8_000.0).contains(&mean), "{mean}");
}

/// Few customers make most of the orders.
#[test]
fn purchases_are_skewed() {
    let rows = table(&MEDIUM, SampleTable::Orders);
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for customer in bigints(&rows, "customer_id") {
        *counts.entry(customer).or_default() += 1;
    }
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let top = counts[..100].iter().sum::<usize>();
    assert!(
        share(top, rows.num_rows()) > 0.35,
        "{}",
        share(top, rows.num_rows())
    );
    assert!(counts.len() < 1_000, "everybody buys");
    assert!(counts.iter().filter(|&&count| count == 1).count() > 50);
}

/// Customers leave: of those who bought in 2023 many bought nothing in the second half of 2025, and
/// the others still do.
#[test]
fn churn_exists() {
    let rows = table(&MEDIUM, SampleTable::Orders);
    let mut span: HashMap<i64, (i64, i64)> = HashMap::new();
    for (customer, at) in bigints(&rows, "customer_id")
        .into_iter()
        .zip(seconds(&rows, "ordered_at"))
    {
        let (first, last) = span.entry(customer).or_insert((at, at));
        (*first, *last) = ((*first).min(at), (*last).max(at));
    }
    let early: Vec<_> = span
        .values()
        .filter(|(first, _)| *first < START + 365 * DAY)
        .collect();
    let gone = early
        .iter()
        .filter(|(_, last)| *last < END - 184 * DAY)
        .count();
    assert!(
        (0.4..0.9).contains(&share(gone, early.len())),
        "{}",
        share(gone, early.len())
    );
}

#[test]
fn seasons_show() {
    let rows = table(&MEDIUM, SampleTable::Orders);
    let years = values::<Int32Type>(&rows, "year");
    let months = values::<Int32Type>(&rows, "month");
    let count = |year, month| {
        let same = |index: &usize| years[*index] == Some(year) && months[*index] == Some(month);
        (0..rows.num_rows()).filter(same).count() as f64
    };
    for year in [2023, 2024, 2025] {
        let peak = count(year, 11) + count(year, 12);
        assert!(peak > 1.15 * (count(year, 9) + count(year, 10)), "{year}");
    }
    let at = seconds(&rows, "ordered_at");
    // 1970-01-01 was a Thursday.
    let weekday = |day: i64| at.iter().filter(|&&at| (at / DAY + 3) % 7 == day).count() as f64;
    assert!(
        weekday(5) > 1.15 * weekday(1),
        "Saturday {} Tuesday {}",
        weekday(5),
        weekday(1)
    );
    let night = at.iter().filter(|&&at| at % DAY < 6 * 3_600).count();
    assert!(share(night, at.len()) < 0.06);
}

#[test]
fn survey_scores_are_plausible() {
    let rows = table(&MEDIUM, SampleTable::Surveys);
    let kinds = texts(&rows, "kind");
    let scores = values::<Int16Type>(&rows, "score");
    let csat = values::<Int16Type>(&rows, "csat_score");
    for (index, kind) in kinds.iter().enumerate() {
        match kind.as_deref() {
            Some("nps") => {
                assert!(scores[index].is_some_and(|score| (0..=10).contains(&score)));
                assert_eq!(csat[index], None);
            }
            Some("csat") => {
                assert!(csat[index].is_some_and(|score| (1..=5).contains(&score)));
                assert_eq!(scores[index], None);
            }
            other => panic!("{other:?}"),
        }
    }
    let scores: Vec<i16> = scores.into_iter().flatten().collect();
    assert!((10.0..55.0).contains(&nps(&scores)), "NPS {}", nps(&scores));
    assert!((0..=10).all(|score| score < 3 || scores.contains(&score)));
    assert!((0.3..0.7).contains(&share(scores.len(), kinds.len())));
    let comments = texts(&rows, "comment");
    let commented = comments.iter().flatten().count();
    assert!((0.25..0.45).contains(&share(commented, comments.len())));
    assert!(comments.iter().flatten().all(|comment| !comment.is_empty()));
}

/// Service gets better until autumn 2024; promoters stay longer than detractors.
#[test]
fn nps_drifts_and_goes_with_loyalty() {
    let options = SampleOptions {
        scale: 0.3,
        ..MEDIUM
    };
    let rows = table(&options, SampleTable::Surveys);
    let at = seconds(&rows, "answered_at");
    let scores = values::<Int16Type>(&rows, "score");
    let between = |from: i64, to: i64| -> Vec<i16> {
        let days = START + from * DAY..START + to * DAY;
        at.iter()
            .zip(&scores)
            .filter(|(at, _)| days.contains(at))
            .filter_map(|(_, s)| *s)
            .collect()
    };
    let (early, late) = (nps(&between(0, 270)), nps(&between(500, 700)));
    assert!(late > early + 5.0, "{early} then {late}");

    let orders = table(&options, SampleTable::Orders);
    let mut last: HashMap<i64, i64> = HashMap::new();
    let times = seconds(&orders, "ordered_at");
    for (customer, at) in bigints(&orders, "customer_id").into_iter().zip(times) {
        let entry = last.entry(customer).or_insert(at);
        *entry = (*entry).max(at);
    }
    let mut groups = [Vec::new(), Vec::new()];
    for (customer, score) in bigints(&rows, "customer_id").iter().zip(&scores) {
        if let (Some(last), Some(score)) = (last.get(customer), score) {
            groups[usize::from(*last > END - 90 * DAY)].push(*score);
        }
    }
    assert!(
        nps(&groups[1]) > nps(&groups[0]) + 10.0,
        "{} {}",
        nps(&groups[0]),
        nps(&groups[1])
    );
}

#[test]
fn reviews_are_plausible() {
    let rows = table(
        &SampleOptions {
            scale: 0.3,
            ..MEDIUM
        },
        SampleTable::Reviews,
    );
    let ratings: Vec<i16> = values::<Int16Type>(&rows, "rating")
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(
        ratings.iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([1, 2, 3, 4, 5])
    );
    assert_eq!(text_set(&rows, "language"), set(&["en", "ru", "uk"]));
    let languages = texts(&rows, "language");
    for code in ["ru", "uk"] {
        let count = languages
            .iter()
            .filter(|language| language.as_deref() == Some(code))
            .count();
        assert!(share(count, languages.len()) > 0.07, "{code} {count}");
    }
    for (index, text) in texts(&rows, "text").iter().enumerate() {
        let english = languages[index].as_deref() == Some("en");
        assert_eq!(text.as_deref().unwrap().is_ascii(), english);
    }
}

#[test]
fn purchase_events_are_orders() {
    let orders = table(&MEDIUM, SampleTable::Orders);
    let known: BTreeSet<(i64, i64)> = bigints(&orders, "customer_id")
        .into_iter()
        .zip(seconds(&orders, "ordered_at"))
        .collect();
    let events = table(&MEDIUM, SampleTable::Events);
    let kinds = texts(&events, "kind");
    let customers = bigints(&events, "customer_id");
    let at = seconds(&events, "occurred_at");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, kind) in kinds.iter().enumerate() {
        let kind = kind.as_deref().unwrap();
        *counts.entry(kind).or_default() += 1;
        assert!(kind != "purchase" || known.contains(&(customers[index], at[index])));
    }
    let steps = ["visit", "view", "cart", "checkout", "purchase"].map(|kind| counts[kind]);
    assert!(steps.is_sorted_by(|a, b| a >= b), "{steps:?}");
    assert!(counts["support"] > 0);
    let durations = values::<Int32Type>(&events, "duration_seconds");
    assert!(
        durations
            .iter()
            .flatten()
            .all(|seconds| (0..=7_200).contains(seconds))
    );
}

#[test]
fn monthly_batches_are_sorted_by_month() {
    for name in [SampleTable::Orders, SampleTable::Events] {
        for batch in batches(&SMALL, name).unwrap() {
            let batch = batch.unwrap();
            let years = values::<Int32Type>(&batch, "year");
            let months = values::<Int32Type>(&batch, "month");
            assert!(years.iter().zip(months).is_sorted());
        }
    }
}

/// All files below a folder with their content, by relative path.
fn content(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn rows_in(bytes: &[u8]) -> u64 {
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .unwrap()
        .build()
        .unwrap();
    reader.map(|batch| batch.unwrap().num_rows() as u64).sum()
}

fn quiet(_: SampleProgress) {}

#[test]
fn the_folder_has_its_layout() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("new").join("demo");
    let mut reports = Vec::new();
    let summary = write(&SMALL, &dir, &mut |report| reports.push(report)).unwrap();
    let files = content(&dir);
    assert_eq!(files.len() as u64, summary.files + 1);
    let parquet = files.iter().filter(|(path, _)| path.extension().is_some());
    let (mut bytes, mut rows) = (0, BTreeMap::<String, u64>::new());
    for (path, file) in parquet {
        bytes += file.len() as u64;
        let first = path.iter().next().unwrap().to_str().unwrap();
        *rows
            .entry(first.trim_end_matches(".parquet").to_owned())
            .or_default() += rows_in(file);
    }
    assert_eq!(bytes, summary.bytes);
    for (name, count) in &summary.rows {
        assert_eq!(rows[name.name()], *count);
        assert_eq!(table(&SMALL, *name).num_rows() as u64, *count);
    }
    assert!(files.contains_key(Path::new("customers.parquet")));
    assert!(files.contains_key(Path::new("orders/year=2024/month=3/part-0.parquet")));
    assert!(files.contains_key(Path::new("events/year=2025/month=12/part-0.parquet")));
    assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 1);
    assert_eq!(reports.len() as u64, reports[0].total);
    assert_eq!(
        reports.last().map(|report| report.done),
        Some(reports[0].total)
    );
}

#[test]
fn a_month_holds_its_rows_with_the_declared_columns() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("demo");
    write(&SMALL, &dir, &mut quiet).unwrap();
    let bytes = fs::read(dir.join("orders/year=2024/month=3/part-0.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    let declared = SampleTable::Orders.schema();
    let own = declared
        .project(&(0..declared.fields().len() - 2).collect::<Vec<_>>())
        .unwrap();
    assert_eq!(reader.schema().fields(), own.fields());
    let from = chrono::NaiveDate::from_ymd_opt(2024, 3, 1).unwrap();
    let to = chrono::NaiveDate::from_ymd_opt(2024, 4, 1).unwrap();
    let bounds = [from, to].map(|day| day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp());
    for batch in reader.build().unwrap() {
        for at in seconds(&batch.unwrap(), "ordered_at") {
            assert!((bounds[0]..bounds[1]).contains(&at));
        }
    }
}

#[test]
fn same_options_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| root.path().join(name));
    write(&SMALL, &one, &mut quiet).unwrap();
    write(&SMALL, &two, &mut quiet).unwrap();
    assert!(content(&one) == content(&two));
}

#[test]
fn an_earlier_sample_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("demo");
    fs::create_dir(&dir).unwrap();
    write(&SMALL, &dir, &mut quiet).unwrap();
    assert!(holds(&SMALL, &dir).unwrap());
    let other = SampleOptions {
        scale: 0.005,
        ..SMALL
    };
    assert!(!holds(&other, &dir).unwrap());
    write(&other, &dir, &mut quiet).unwrap();
    assert!(holds(&other, &dir).unwrap() && !holds(&SMALL, &dir).unwrap());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn foreign_files_are_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("mine");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("customers.parquet"), "precious").unwrap();
    let refused = |dir: &Path, named: &str| {
        let error = write(&SMALL, dir, &mut quiet).unwrap_err();
        assert_eq!(error.state(), SqlState::InvalidParameterValue);
        assert!(
            error.detail().unwrap().contains(named),
            "{:?}",
            error.detail()
        );
        assert!(!holds(&SMALL, dir).unwrap());
    };
    refused(&dir, "customers.parquet");
    assert_eq!(
        fs::read_to_string(dir.join("customers.parquet")).unwrap(),
        "precious"
    );
    refused(&dir.join("customers.parquet"), "a file");

    let sample = root.path().join("sample");
    write(&SMALL, &sample, &mut quiet).unwrap();
    for added in [
        "notes.txt",
        "orders/year=2024/notes.txt",
        "orders/year=2024/month=3/part-1.parquet",
    ] {
        fs::write(sample.join(added), "precious").unwrap();
        let error = write(&SMALL, &sample, &mut quiet).unwrap_err();
        assert!(
            error.detail().unwrap().contains(added),
            "{:?}",
            error.detail()
        );
        assert_eq!(fs::read_to_string(sample.join(added)).unwrap(), "precious");
        fs::remove_file(sample.join(added)).unwrap();
    }
    write(&SMALL, &sample, &mut quiet).unwrap();
}

#[test]
fn current_folder_is_refused() {
    let error = write(&SMALL, Path::new("."), &mut quiet).unwrap_err();
    assert!(error.detail().unwrap().contains("current folder"));
}

/// A run that ends in the middle, as by a panic or an error, leaves neither target nor remains.
#[test]
fn a_cut_off_run_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("demo");
    let cut = std::panic::catch_unwind(|| {
        write(&SMALL, &dir, &mut |report| {
            assert!(report.table < SampleTable::Surveys);
        })
    });
    assert!(cut.is_err());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

/// A killed run leaves the hidden folder; it is not taken for a sample, and the next run clears it.
#[test]
fn remains_of_a_killed_run_are_cleared() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("demo");
    let partial = root.path().join(".demo.loyalhouse-partial");
    fs::create_dir_all(partial.join("orders/year=2024/month=3")).unwrap();
    fs::write(
        partial.join("orders/year=2024/month=3/part-0.parquet"),
        "half",
    )
    .unwrap();
    fs::write(partial.join("customers.parquet"), "half").unwrap();
    assert!(!holds(&SMALL, &dir).unwrap());
    write(&SMALL, &dir, &mut quiet).unwrap();
    assert!(holds(&SMALL, &dir).unwrap());
    assert!(!partial.exists());
}

#[test]
fn two_runs_do_not_meet() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("demo");
    let mut states = BTreeSet::new();
    write(&SMALL, &dir, &mut |_| {
        let second = write(&SMALL, &dir, &mut quiet);
        states.insert(second.unwrap_err().state().code());
    })
    .unwrap();
    assert_eq!(states, BTreeSet::from([SqlState::ObjectInUse.code()]));
    assert!(holds(&SMALL, &dir).unwrap());
}

/// Guards the demo that people already have: when this fails, raise FORMAT_VERSION in folder.rs.
#[test]
fn rows_are_those_of_the_format_version() {
    let rows = SampleTable::ALL.map(|name| table(&SMALL, name).num_rows());
    let cents: i128 = cents(&table(&SMALL, SampleTable::Orders), "amount")
        .iter()
        .sum();
    assert_eq!(
        (rows, cents),
        ([100, 2_122, 3_299, 337, 70, 24], 10_116_509)
    );
}
