//! Every example in the documentation runs and gives its stated result, and FUNCTIONS.md is what
//! the functions say. `UPDATE=1` rewrites FUNCTIONS.md.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use datafusion::arrow::util::display::array_value_to_string;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::logical_expr::Documentation;
use datafusion_functions_loyalty as loyalty;

use crate::session::{rows, session};

struct Entry {
    name: String,
    kind: &'static str,
    documentation: Documentation,
}

fn entries() -> Vec<Entry> {
    let entry = |name: &str, kind, documentation: Option<&Documentation>| Entry {
        name: name.to_owned(),
        kind,
        documentation: documentation
            .unwrap_or_else(|| panic!("{name} says nothing"))
            .clone(),
    };
    let aggregates = loyalty::all_aggregate_functions();
    let scalars = loyalty::all_scalar_functions();
    let windows = loyalty::all_window_functions();
    let aggregates = aggregates
        .iter()
        .map(|f| entry(f.name(), "aggregate", f.documentation()));
    let scalars = scalars
        .iter()
        .map(|f| entry(f.name(), "scalar", f.documentation()));
    let windows = windows
        .iter()
        .map(|f| entry(f.name(), "window", f.documentation()));
    aggregates.chain(scalars).chain(windows).collect()
}

/// The statement and the table of an example.
fn example(entry: &Entry) -> (String, String) {
    let name = &entry.name;
    let text = entry.documentation.sql_example.as_ref();
    let text = text.unwrap_or_else(|| panic!("{name} has no example"));
    let inner = text
        .strip_prefix("```sql\n> ")
        .and_then(|text| text.strip_suffix("\n```"));
    let inner = inner.unwrap_or_else(|| panic!("the example of {name} is not an sql block"));
    let (statement, table) = inner.split_once(";\n").unwrap_or_else(|| {
        panic!("the example of {name} has no statement ending in ; with a result after it")
    });
    (statement.to_owned(), table.to_owned())
}

#[tokio::test]
async fn every_example_gives_its_stated_result() {
    let context = session(2);
    let mut wrong = String::new();
    for entry in entries() {
        let (statement, stated) = example(&entry);
        let got = match rows(&context, &statement).await {
            Ok(batch) => pretty_format_batches(&[batch]).unwrap().to_string(),
            Err(error) => error.to_string(),
        };
        if got != stated {
            writeln!(
                wrong,
                "{}:\n{statement}\nstated\n{stated}\ngave\n{got}",
                entry.name
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_function_says_what_is_needed() {
    for entry in entries() {
        let Entry {
            name,
            documentation,
            ..
        } = entry;
        assert!(
            documentation
                .syntax_example
                .starts_with(&format!("{name}(")),
            "{name}"
        );
        let takes_none = documentation.syntax_example.ends_with("()");
        let described = documentation.arguments.is_some_and(|all| !all.is_empty());
        assert!(described || takes_none, "{name}: arguments");
        for word in ["NULL", "Source:"] {
            assert!(
                documentation.description.contains(word),
                "{name} does not say {word}"
            );
        }
    }
}

/// The same text can be read from any SQL prompt.
#[tokio::test]
async fn every_function_is_in_information_schema() {
    let context = session(1);
    let show = "SET datafusion.catalog.information_schema = true";
    context.sql(show).await.unwrap();
    for Entry {
        name,
        documentation,
        ..
    } in entries()
    {
        let sql = format!(
            "SELECT DISTINCT description, syntax_example FROM information_schema.routines
             WHERE routine_name = '{name}'"
        );
        let batch = rows(&context, &sql).await.unwrap();
        assert_eq!(batch.num_rows(), 1, "{name}");
        let cell = |column: usize| array_value_to_string(batch.column(column), 0).unwrap();
        assert_eq!(cell(0), documentation.description, "{name}");
        assert_eq!(cell(1), documentation.syntax_example, "{name}");
    }
}

#[test]
fn functions_md_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/FUNCTIONS.md");
    let current = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &current).unwrap();
    }
    let stored = fs::read_to_string(path).unwrap_or_default();
    assert!(
        stored == current,
        "FUNCTIONS.md is out of date; run UPDATE=1 cargo test -p datafusion-functions-loyalty \
         --test it docs"
    );
}

fn page() -> String {
    let mut sections: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    let entries = entries();
    for entry in &entries {
        sections
            .entry(entry.documentation.doc_section.label)
            .or_default()
            .push(entry);
    }
    let mut page = String::from(
        "# Functions\n\nGenerated from the functions' own documentation; do not edit. Rewrite with\n\
         `UPDATE=1 cargo test -p datafusion-functions-loyalty --test it docs`.\n",
    );
    for (section, mut entries) in sections {
        write!(page, "\n## {section}\n").unwrap();
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        for entry in entries {
            describe(&mut page, entry);
        }
    }
    page
}

fn describe(page: &mut String, entry: &Entry) {
    let Documentation {
        description,
        syntax_example,
        alternative_syntax,
        arguments,
        sql_example,
        ..
    } = &entry.documentation;
    write!(
        page,
        "\n### {}\n\n*{} function*\n\n{description}\n\n",
        entry.name, entry.kind
    )
    .unwrap();
    writeln!(page, "```sql\n{syntax_example}").unwrap();
    for syntax in alternative_syntax.iter().flatten() {
        writeln!(page, "{syntax}").unwrap();
    }
    page.push_str("```\n\n");
    for (name, description) in arguments.iter().flatten() {
        writeln!(page, "- `{name}`: {description}").unwrap();
    }
    if let Some(example) = sql_example {
        write!(page, "\nExample:\n\n{example}\n").unwrap();
    }
}
