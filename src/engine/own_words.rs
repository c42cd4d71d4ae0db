//! A user's own words for the text functions: lists in tables that the session's settings name, on top of
//! those that are built in.
//!
//! A statement that calls a text function plans a query of each list it needs, with the session's own
//! privileges, and puts functions over the lists in place of those over the built-in ones. What was read
//! is kept until a table changes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF};
use datafusion::physical_plan::execute_stream;
use datafusion_functions_loyalty::{self as loyalty, LexiconError, Lexicons, LexiconsBuilder};

use super::control::StatementControl;
use super::plan::{self, PlannedQuery};
use super::state::SessionVariables;
use super::{Generation, Shared, statement};
use crate::error::{Error, Result};

/// The table of words with weights: lang, term, weight.
pub(super) const SENTIMENT: &str = "loyalty.sentiment_lexicon";
/// The table of words of topics: lang, topic, term.
pub(super) const TOPICS: &str = "loyalty.topic_lexicon";

/// Words of all lists that are kept, so that statements do not make them anew.
const KEPT_WORDS_MAX: usize = 200_000;
/// Lists that are kept.
const KEPT_MAX: usize = 16;

/// A list that a session may have of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Sentiment,
    Topics,
}

impl List {
    const ALL: [Self; 2] = [Self::Sentiment, Self::Topics];

    fn setting(self) -> &'static str {
        match self {
            Self::Sentiment => SENTIMENT,
            Self::Topics => TOPICS,
        }
    }

    /// The functions that read it.
    fn readers(self) -> &'static [&'static str] {
        match self {
            Self::Sentiment => &[
                "sentiment",
                "sentiment_label",
                "review_type",
                "loyalty_version",
            ],
            Self::Topics => &["review_topic", "review_topics", "loyalty_version"],
        }
    }

    fn columns(self) -> [&'static str; 3] {
        match self {
            Self::Sentiment => ["lang", "term", "weight"],
            Self::Topics => ["lang", "topic", "term"],
        }
    }

    fn query(self, table: &str) -> String {
        let [first, second, third] = self.columns();
        let kind = match self {
            Self::Sentiment => "double precision",
            Self::Topics => "text",
        };
        format!(
            "SELECT CAST(t.{first} AS text), CAST(t.{second} AS text), CAST(t.{third} AS {kind}) FROM {table} AS t"
        )
    }

    /// Adds the rows of a batch.
    fn add(self, builder: &mut LexiconsBuilder, batch: &RecordBatch) -> Result<()> {
        let third = match self {
            Self::Sentiment => DataType::Float64,
            Self::Topics => DataType::Utf8View,
        };
        let types = [DataType::Utf8View, DataType::Utf8View, third];
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(types.len());
        for ((column, to), name) in batch.columns().iter().zip(&types).zip(self.columns()) {
            if column.null_count() > 0 {
                return Err(Error::new(
                    crate::sqlstate::SqlState::NullValueNotAllowed,
                    format!("there is a row without {name}"),
                ));
            }
            columns.push(cast(column, to).map_err(DataFusionError::from)?);
        }
        let [first, second, third] = &columns[..] else {
            return Err(Error::internal("a list of words has not three columns"));
        };
        let (first, second) = (first.as_string_view(), second.as_string_view());
        for row in 0..batch.num_rows() {
            let (first, second) = (first.value(row), second.value(row));
            let added = match self {
                Self::Sentiment => {
                    let weights = third.as_primitive::<Float64Type>();
                    builder.add_word(first, second, weights.value(row))
                }
                Self::Topics => {
                    let terms = third.as_string_view();
                    builder.add_topic_word(first, second, terms.value(row))
                }
            };
            added.map_err(|error| refused(&error))?;
        }
        Ok(())
    }
}

fn refused(error: &LexiconError) -> Error {
    match error.is_limit() {
        true => Error::program_limit_exceeded(error.to_string()),
        false => Error::invalid_parameter_value(error.to_string()),
    }
}

/// An error that says which setting it comes from.
fn of_setting(list: List, error: &Error) -> Error {
    let setting = list.setting();
    let named = Error::new(error.state(), format!("{setting}: {}", error.message()));
    let named = match error.detail() {
        Some(detail) => named.with_detail(detail),
        None => named,
    };
    let columns = list.columns().join(", ");
    named.with_hint(format!(
        "It names a table with the columns {columns}; SET {setting} = '' goes back to the built-in words."
    ))
}

/// What lists were read from.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    generation: Generation,
    tables: [Option<String>; 2],
    user: String,
    path: Vec<String>,
}

/// The lists that were read last.
#[derive(Debug, Default)]
pub(super) struct KnownWords(Mutex<VecDeque<(Key, Arc<Lexicons>)>>);

impl KnownWords {
    fn get(&self, key: &Key) -> Option<Arc<Lexicons>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|(of, _)| of == key);
        found.map(|(_, lexicons)| Arc::clone(lexicons))
    }

    fn keep(&self, key: Key, lexicons: Arc<Lexicons>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_front((key, lexicons));
        let mut words = 0;
        let fit = known.iter().take_while(|(_, lexicons)| {
            words += lexicons.own_words();
            words <= KEPT_WORDS_MAX
        });
        let fit = fit.count().min(KEPT_MAX);
        known.truncate(fit);
    }
}

/// The plan of a query of a list, and the tables that views let it read: who runs the statement must still
/// be allowed to.
pub(super) type Read = (LogicalPlan, std::collections::BTreeSet<(String, String)>);

/// A plan whose text functions know the session's own words, and what it reads for them.
pub(super) async fn apply(
    shared: &Shared,
    state: &SessionState,
    plan: LogicalPlan,
    control: &Arc<StatementControl>,
) -> Result<(LogicalPlan, Vec<Read>)> {
    let variables = state.config_options().extensions.get::<SessionVariables>();
    let Some(variables) = variables else {
        return Ok((plan, Vec::new()));
    };
    let set = List::ALL.into_iter().zip(variables.own_words());
    let set: Vec<_> = set.filter(|(_, table)| !table.is_empty()).collect();
    if set.is_empty() {
        return Ok((plan, Vec::new()));
    }
    let before = shared.generation(state);
    let mut queries = Vec::new();
    let mut tables = [None, None];
    for (list, table) in set {
        if !calls(&plan, list.readers())? {
            continue;
        }
        let planned = planned(shared, state, list, &table, control).await;
        let planned = planned.map_err(|error| {
            control
                .check()
                .err()
                .unwrap_or_else(|| of_setting(list, &error))
        })?;
        tables[list as usize] = Some(table);
        queries.push((list, planned));
    }
    if queries.is_empty() {
        return Ok((plan, Vec::new()));
    }
    let facts = variables.facts();
    let key = Key {
        // Planning has looked for changes of the tables.
        generation: shared.generation(state),
        tables,
        user: facts.user,
        path: facts.search_path,
    };
    let reads = queries.iter().map(|(_, query)| query.as_read()).collect();
    let lexicons = match shared.known_words.get(&key) {
        Some(known) => known,
        None => {
            let lexicons = Arc::new(read(shared, state, queries, control).await?);
            // A table that changed while it was planned may have been read as it was before.
            if key.generation == before {
                shared.known_words.keep(key, Arc::clone(&lexicons));
            }
            lexicons
        }
    };
    Ok((with_functions(plan, &lexicons, variables.lenient())?, reads))
}

/// Whether a plan calls one of these functions.
fn calls(plan: &LogicalPlan, names: &[&str]) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |=
                    matches!(expr, Expr::ScalarFunction(call) if names.contains(&call.func.name()));
                Ok(match found {
                    true => TreeNodeRecursion::Stop,
                    false => TreeNodeRecursion::Continue,
                })
            })
        })
    })?;
    Ok(found)
}

async fn planned(
    shared: &Shared,
    state: &SessionState,
    list: List,
    table: &str,
    control: &Arc<StatementControl>,
) -> Result<PlannedQuery> {
    let parsed = statement::parse(&list.query(table))?.pop();
    let Some(statement) = parsed.and_then(|parsed| parsed.statement) else {
        return Err(Error::internal("a list of words has no query"));
    };
    Box::pin(plan::plan_as_written(shared, state, &statement, control)).await
}

async fn read(
    shared: &Shared,
    state: &SessionState,
    queries: Vec<(List, PlannedQuery)>,
    control: &Arc<StatementControl>,
) -> Result<Lexicons> {
    let mut builder = Lexicons::builder();
    for (list, planned) in queries {
        let runnable = plan::make_runnable(state, &shared.lake, planned, Vec::new(), 0, control);
        let runnable = Box::pin(runnable).await?;
        let stopped = Arc::clone(control);
        let mut filled = builder;
        let rows = shared.workers.query(async move {
            let mut stream = execute_stream(runnable.plan, runnable.context)?;
            while let Some(batch) = stopped.next(&mut stream).await? {
                list.add(&mut filled, &batch)?;
            }
            Ok(filled)
        });
        builder = rows.await.map_err(|error| {
            let stopped = control.check().err();
            stopped.unwrap_or_else(|| of_setting(list, &error))
        })?;
    }
    Ok(builder.finish())
}

/// Puts functions over `lexicons` in place of those over the built-in words.
fn with_functions(
    plan: LogicalPlan,
    lexicons: &Arc<Lexicons>,
    lenient: bool,
) -> Result<LogicalPlan> {
    let functions = loyalty::text_functions(lexicons).into_iter();
    let functions: HashMap<String, Arc<ScalarUDF>> = functions
        .map(|function| {
            let name = function.name().to_owned();
            match lenient {
                true => (name, loyalty::lenient_scalar(&function)),
                false => (name, function),
            }
        })
        .collect();
    let replaced = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::ScalarFunction(mut call) => match functions.get(call.func.name()) {
                    Some(function) => {
                        call.func = Arc::clone(function);
                        Ok(Transformed::yes(Expr::ScalarFunction(call)))
                    }
                    None => Ok(Transformed::no(Expr::ScalarFunction(call))),
                },
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(replaced.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(table: &str) -> Key {
        let generation = Generation {
            read_in_place: 1,
            written: [1, 2, 3],
            lenient: false,
            words: 0,
        };
        Key {
            generation,
            tables: [Some(table.to_owned()), None],
            user: "ana".to_owned(),
            path: Vec::new(),
        }
    }

    /// A list of this many words.
    fn list(words: usize) -> Arc<Lexicons> {
        let mut builder = Lexicons::builder();
        for n in 0..words {
            let digits = n.to_string();
            let letters = digits.bytes().map(|digit| char::from(b'a' + digit - b'0'));
            let word: String = letters.collect();
            builder.add_word("en", &word, 1.0).unwrap();
        }
        Arc::new(builder.finish())
    }

    #[test]
    fn lists_are_kept_by_what_they_were_read_from_as_long_as_there_is_room() {
        let known = KnownWords::default();
        let (small, large) = (list(3), list(Lexicons::WORDS_MAX));
        known.keep(key("a"), Arc::clone(&small));
        known.keep(key("b"), Arc::clone(&large));
        assert!(known.get(&key("a")).is_some() && known.get(&key("b")).is_some());
        let other = Key {
            user: "ben".to_owned(),
            ..key("a")
        };
        assert!(known.get(&other).is_none());
        known.keep(key("c"), Arc::clone(&large));
        assert!(known.get(&key("a")).is_none() && known.get(&key("c")).is_some());
        for n in 0..KEPT_MAX {
            known.keep(key(&format!("d{n}")), Arc::clone(&small));
        }
        assert!(known.get(&key("c")).is_none());
        assert!(known.get(&key("d0")).is_some());
    }

    #[test]
    fn each_text_function_reads_a_list() {
        let built_in = Arc::new(Lexicons::default());
        for function in loyalty::text_functions(&built_in) {
            let reads = |list: &List| list.readers().contains(&function.name());
            assert!(List::ALL.iter().any(reads), "{}", function.name());
        }
    }
}
