//! Values that cannot be meant count as NULL where a session asks for it, and only those.

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array};
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::compute::nullif;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::EmitTo;
use datafusion::prelude::SessionContext;
use datafusion_functions_loyalty::{Refusal, Refused, lenient_aggregate, register_all_lenient};
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

use crate::laws::{
    Form, GROUPS, Row, accumulated, as_cell, filter_of, forms_for, groups_of, random_rows, same,
    slice,
};
use crate::session::{alike, as_cells, cells, failure, numbers, session};

fn lenient_session() -> SessionContext {
    let mut context = session(2);
    register_all_lenient(&mut context).unwrap();
    context
}

/// Rows that get a NaN.
fn spoiled(rows: &[Row], seed: u8) -> BooleanArray {
    let spoils = |row: &Row| row.c.is_some_and(|c| c.rotate_left(3) ^ seed < 60);
    rows.iter().map(|row| Some(spoils(row))).collect()
}

/// The arguments with NaN in one column, and with NULL instead.
fn with_nan_and_null(
    columns: &[ArrayRef],
    at: usize,
    spoiled: &BooleanArray,
) -> [Vec<ArrayRef>; 2] {
    let (mut nan, mut null) = (columns.to_vec(), columns.to_vec());
    null[at] = nullif(&columns[at], spoiled).unwrap();
    nan[at] = zip(spoiled, &Float64Array::new_scalar(f64::NAN), &columns[at]).unwrap();
    [nan, null]
}

/// Which arguments can hold a NaN.
fn places(columns: &[ArrayRef]) -> Vec<usize> {
    let is_double = |at: &usize| columns[*at].data_type() == &DataType::Float64;
    (0..columns.len()).filter(is_double).collect()
}

fn lenient(form: &Form) -> Form {
    Form {
        udaf: lenient_aggregate(&form.udaf),
        ..form.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_aggregate_takes_nan_for_null(rows in random_rows(), seed in any::<u8>(), width in 1_usize..6) {
        let (groups, filter, spoiled) = (groups_of(&rows), filter_of(&rows), spoiled(&rows, seed));
        // A cohort without its start is refused as a whole.
        for form in forms_for(&rows).iter().filter(|form| form.udaf.name() != "sbg_fit") {
            let lenient = lenient(form);
            let columns = form.columns(&rows);
            for at in places(&columns) {
                let [nan, null] = with_nan_and_null(&columns, at, &spoiled);
                let expected = accumulated(&form.expression(), &null).evaluate().unwrap();
                let got = accumulated(&lenient.expression(), &nan).evaluate().unwrap();
                prop_assert!(alike(&as_cell(&got), &as_cell(&expected)), "{form}: {got} {expected}");

                let grouped = |form: &Form, columns: &[ArrayRef]| {
                    let mut grouped = form.expression().create_groups_accumulator().unwrap();
                    grouped.update_batch(columns, &groups, Some(&filter), GROUPS).unwrap();
                    as_cells(&grouped.evaluate(EmitTo::All).unwrap())
                };
                let (got, expected) = (grouped(&lenient, &nan), grouped(form, &null));
                prop_assert!(same(&got, &expected), "{form} grouped: {got:?} {expected:?}");

                let converted = |form: &Form, columns: &[ArrayRef]| {
                    let mut grouped = form.expression().create_groups_accumulator().unwrap();
                    let states = grouped.convert_to_state(columns, Some(&filter)).unwrap();
                    grouped.merge_batch(&states, &groups, GROUPS).unwrap();
                    as_cells(&grouped.evaluate(EmitTo::All).unwrap())
                };
                let (got, expected) = (converted(&lenient, &nan), converted(form, &null));
                prop_assert!(same(&got, &expected), "{form} converted: {got:?} {expected:?}");

                let Ok(mut sliding) = lenient.expression().create_sliding_accumulator() else {
                    continue;
                };
                for end in 1..=rows.len() {
                    sliding.update_batch(&slice(&nan, end - 1, end)).unwrap();
                    if end > width {
                        sliding.retract_batch(&slice(&nan, end - width - 1, end - width)).unwrap();
                    }
                    let frame = slice(&null, end.saturating_sub(width), end);
                    let anew = accumulated(&form.expression(), &frame).evaluate().unwrap();
                    let kept = sliding.evaluate().unwrap();
                    prop_assert!(alike(&as_cell(&kept), &as_cell(&anew)), "{form} sliding: {kept} {anew}");
                }
            }
        }
    }
}

/// What the property above stands on: the same NaN is an error without leniency.
#[test]
fn every_aggregate_refuses_nan_otherwise() {
    let rows: Vec<_> = (0..8_u8)
        .map(|n| Row {
            a: Some(n),
            b: Some(n + 1),
            c: Some(n + 2),
            group: 0,
            filter: None,
        })
        .collect();
    let first = BooleanArray::from_iter((0..8).map(|row| Some(row == 0)));
    let mut tried = 0;
    for form in forms_for(&rows) {
        let columns = form.columns(&rows);
        for at in places(&columns) {
            let [nan, _] = with_nan_and_null(&columns, at, &first);
            let mut accumulator = form.expression().create_accumulator().unwrap();
            let error = accumulator.update_batch(&nan).unwrap_err();
            let refused = Refusal::of(&error).map(Refusal::refused);
            assert!(refused.is_some(), "{form}: {error}");
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
}

#[tokio::test]
async fn a_scalar_gives_null_for_what_it_refuses() {
    let context = lenient_session();
    let sql = "SELECT CASE nps_category(s) WHEN 'promoter' THEN 1.0 WHEN 'detractor' THEN 2.0 END
               FROM (VALUES (1, 9), (2, 11), (3, NULL), (4, -1), (5, 0)) t(n, s) ORDER BY n";
    let got = numbers(&context, sql).await;
    assert_eq!(got, [Some(1.0), None, None, None, Some(2.0)]);
    let nothing = [
        "nps_category(11)",
        "nps_category(CAST('NaN' AS DOUBLE), 3, 5)",
        "tenure(DATE '2024-02-01', DATE '2024-01-01')",
        "p_alive(bgnbd(1, 1, 1, 1), -1, 0, 0)",
        "p_alive(bgnbd(-1, 1, 1, 1), 1, 1, 2)",
        "survey_score('9, 10')",
        "clv_simple(-70, 3, 3)",
    ];
    for call in nothing {
        let got = cells(&context, &format!("SELECT {call}")).await;
        assert_eq!(got, [None], "{call}");
        let column = format!("SELECT {call} FROM (VALUES (1), (2)) t(n)");
        assert_eq!(cells(&context, &column).await, [None, None], "{call}");
    }
}

#[tokio::test]
async fn a_count_that_is_refused_is_no_count() {
    let fit = |counts: &str| {
        format!(
            "SELECT get_field(sbg_fit(p, s), 'alpha')
             FROM (VALUES (0, 1000), (1, 700), (2, 550), (4, 400){counts}) c(p, s)"
        )
    };
    let context = lenient_session();
    let refused = fit(", (3, CAST('NaN' AS DOUBLE)), (-1, 2000), (3.5, 1), (5, -1)");
    let got = numbers(&context, &refused).await;
    assert!(got[0].is_some());
    assert_eq!(got, numbers(&context, &fit("")).await);
    let grown = failure(&context, &fit(", (5, 401)")).await;
    assert!(
        grown.contains("survivors grow from 400 in period 4"),
        "{grown}"
    );
    let lost = failure(
        &context,
        "SELECT sbg_fit(p, 9) FROM (VALUES (-1), (1)) c(p)",
    )
    .await;
    assert!(lost.contains("the first period is 1"), "{lost}");
}

#[tokio::test]
async fn a_window_function_does_not_count_what_it_refuses() {
    let values = "FROM (VALUES (1, 1.0), (2, CAST('NaN' AS DOUBLE)), (3, 2.0), (4, 3.0), (5, 4.0), (6, 5.0)) t(n, v)";
    let sql =
        format!("SELECT q FROM (SELECT n, quantile_score(v) OVER () AS q {values}) s ORDER BY n");
    let got = cells(&lenient_session(), &sql).await;
    let expected = [Some(1.0), None, Some(2.0), Some(3.0), Some(4.0), Some(5.0)];
    assert_eq!(
        got,
        expected.map(|score| score.map(|score| vec![Some(score)]))
    );
    let refused = failure(&session(2), &sql).await;
    assert!(
        refused.contains("quantile_score(): value is NaN"),
        "{refused}"
    );
}

#[tokio::test]
async fn calls_that_cannot_be_meant_stay_errors() {
    let context = lenient_session();
    for (call, words) in [
        (
            "nps(s, 9, 6)",
            "detractor_max 9 must be below promoter_min 6",
        ),
        ("nps_ci(s, 95)", "confidence 95 is not between 0 and 1"),
        (
            "nps(s, n, 9)",
            "detractor_max must be the same for all rows of a group",
        ),
        ("rfm_segment(1, 1, 1, 'mine')", "there is no map 'mine'"),
        ("sentiment('good', 'xx')", "lang \"xx\" is not known"),
        (
            "revenue_churn_rate(s, s, 'brutto')",
            "there is no kind 'brutto'",
        ),
        (
            "quantile_score(s, 0) OVER ()",
            "buckets 0 must be a whole number from 1",
        ),
    ] {
        let sql = format!("SELECT {call} FROM (VALUES (1, 9), (2, 8)) t(n, s)");
        let message = failure(&context, &sql).await;
        assert!(message.contains(words), "{call}: {message}");
    }
}

#[tokio::test]
async fn refusals_are_found_in_the_errors_of_queries() {
    for (sql, expected) in [
        ("SELECT nps(11)", Refused::Value),
        (
            "SELECT nps(s, n, 9) FROM (VALUES (1, 9), (2, 8)) t(n, s)",
            Refused::Call,
        ),
    ] {
        let context = session(2);
        let error = match context.sql(sql).await {
            Ok(query) => query.collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(
            Refusal::of(&error).map(Refusal::refused),
            Some(expected),
            "{error}"
        );
    }
}

/// All rows of a batch may be refused.
#[tokio::test]
async fn nothing_but_refused_values_gives_null() {
    let context = lenient_session();
    let values = "FROM (VALUES (11, 1), (12, 1), (-1, 2)) t(s, g)";
    assert_eq!(
        cells(&context, &format!("SELECT nps(s) {values}")).await,
        [None]
    );
    let by_group = format!("SELECT nps(s) {values} GROUP BY g");
    assert_eq!(cells(&context, &by_group).await, [None, None]);
}
