//! Which operator or function a call means, by PostgreSQL's documented rules of type conversion
//! (operators, functions, UNION and CASE), over its own signatures.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::catalog::pg_type::{self, PgType};
use crate::catalog::type_oids::{
    ANY, ANYARRAY, ANYCOMPATIBLE, ANYCOMPATIBLEARRAY, ANYCOMPATIBLENONARRAY, ANYELEMENT,
    ANYNONARRAY, UNKNOWN,
};
use crate::catalog::{fixed_rows, procs};

/// The OID of a type.
pub(crate) type Oid = u32;

/// An expression whose type this analysis cannot tell.
pub(super) const OPAQUE: Oid = 0;

const STRING_CATEGORY: char = 'S';

/// One form of an operator or function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    /// The declared types of the arguments.
    pub(super) arguments: Vec<Oid>,
    /// The declared type of the result.
    pub(super) result: Oid,
    /// How many arguments may be left out.
    pub(super) defaults: usize,
    /// Whether the last argument may repeat.
    pub(super) variadic: bool,
}

/// What a call was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// This form, with the types that its arguments take and that of its result.
    One(Vec<Oid>, Oid),
    /// Several forms fit equally well.
    Ambiguous,
    /// No form fits.
    None,
}

type Signatures = HashMap<&'static str, Vec<Signature>>;

static OPERATORS: LazyLock<Signatures> = LazyLock::new(|| {
    let mut operators = Signatures::new();
    for row in fixed_rows::cells("pg_operator") {
        let oid = |column: &str| row.get(column)?.parse::<Oid>().ok();
        let (Some(name), Some(left), Some(right), Some(result)) = (
            row.get("oprname"),
            oid("oprleft"),
            oid("oprright"),
            oid("oprresult"),
        ) else {
            continue;
        };
        operators.entry(name).or_default().push(Signature {
            // A prefix operator has no left side.
            arguments: [left, right].into_iter().filter(|oid| *oid != 0).collect(),
            result,
            defaults: 0,
            variadic: false,
        });
    }
    operators
});

/// What a value of a type is cast to where a query does not say so.
static IMPLICIT_CASTS: LazyLock<HashSet<(Oid, Oid)>> = LazyLock::new(|| {
    fixed_rows::cells("pg_cast")
        .filter(|row| row.get("castcontext") == Some(&"i"))
        .filter_map(|row| {
            let oid = |column: &str| row.get(column)?.parse::<Oid>().ok();
            Some((oid("castsource")?, oid("casttarget")?))
        })
        .collect()
});

/// PostgreSQL's functions of a name.
pub(super) fn functions(name: &str) -> Vec<Signature> {
    let forms = procs::built_ins_named(name).iter();
    forms
        .map(|form| Signature {
            arguments: form.arguments.clone(),
            result: form.returns,
            defaults: usize::try_from(form.defaults).unwrap_or(0),
            variadic: form.variadic != 0,
        })
        .collect()
}

/// Whether PostgreSQL has a function of a name.
pub(super) fn has_function(name: &str) -> bool {
    !procs::built_ins_named(name).is_empty()
}

/// The element type of an array type; [`UNKNOWN`] of the unknown.
pub(super) fn element_of(array: Oid) -> Oid {
    match array {
        UNKNOWN => UNKNOWN,
        array => pg_type::by_oid(array)
            .filter(|found| found.element != 0)
            .map_or(OPAQUE, |found| found.element),
    }
}

/// The array type over an element type.
pub(super) fn array_of(element: Oid) -> Oid {
    match element {
        UNKNOWN => UNKNOWN,
        element => pg_type::array_of(element).unwrap_or(OPAQUE),
    }
}

/// The operator that `left name right` means.
pub(super) fn binary(name: &str, left: Oid, right: Oid) -> Choice {
    if left == OPAQUE || right == OPAQUE {
        return Choice::None;
    }
    let name = if name == "!=" { "<>" } else { name };
    if name == "||" && (is_array(left) || is_array(right)) && [left, right].contains(&UNKNOWN) {
        let array = if left == UNKNOWN { right } else { left };
        return Choice::One(vec![array, array], array);
    }
    let Some(forms) = OPERATORS.get(name) else {
        return Choice::None;
    };
    let forms: Vec<&Signature> = forms
        .iter()
        .filter(|form| form.arguments.len() == 2)
        .collect();
    // With one side unknown, PostgreSQL first tries the operator that takes the other's type twice.
    let assumed = match (left, right) {
        (UNKNOWN, known) | (known, UNKNOWN) => [known, known],
        both => [both.0, both.1],
    };
    if let Some(exact) = forms.iter().find(|form| form.arguments == assumed) {
        return Choice::One(exact.arguments.clone(), exact.result);
    }
    choose(&forms, &[left, right])
}

/// The operator that `name operand` means.
pub(super) fn unary(name: &str, operand: Oid) -> Choice {
    if operand == OPAQUE {
        return Choice::None;
    }
    let forms = OPERATORS.get(name).map_or(&[][..], Vec::as_slice);
    let forms: Vec<&Signature> = forms
        .iter()
        .filter(|form| form.arguments.len() == 1)
        .collect();
    choose(&forms, &[operand])
}

/// The form that a call with arguments of these types means.
pub(super) fn call(forms: &[Signature], arguments: &[Oid]) -> Choice {
    let count = arguments.len();
    let fitted: Vec<Signature> = forms.iter().filter_map(|form| fit(form, count)).collect();
    choose(&fitted.iter().collect::<Vec<_>>(), arguments)
}

/// The form as a call with so many arguments sees it.
fn fit(form: &Signature, count: usize) -> Option<Signature> {
    let declared = form.arguments.len();
    let mut arguments = form.arguments.clone();
    if form.variadic && count + 1 >= declared {
        let repeated = match arguments.pop()? {
            ANY => ANY,
            array => polymorphic_element(array).unwrap_or_else(|| element_of(array)),
        };
        arguments.resize(count.max(declared - 1), repeated);
    } else if count <= declared && count + form.defaults >= declared {
        arguments.truncate(count);
    }
    (arguments.len() == count).then(|| Signature {
        arguments,
        ..form.clone()
    })
}

fn choose(forms: &[&Signature], arguments: &[Oid]) -> Choice {
    let exact = forms.iter().find(|form| form.arguments == arguments);
    if let Some(exact) = exact {
        return instantiate(exact, arguments);
    }
    // What cannot be told takes any type here, but never decides.
    let arguments: Vec<Oid> = arguments
        .iter()
        .map(|oid| if *oid == OPAQUE { UNKNOWN } else { *oid })
        .collect();
    let mut fitting: Vec<&Signature> = forms
        .iter()
        .copied()
        .filter(|form| accepts(form, &arguments))
        .collect();
    match fitting.len() {
        0 => return Choice::None,
        1 => return instantiate(fitting[0], &arguments),
        _ => {}
    }
    keep_best(&mut fitting, |form| {
        count(form, &arguments, |declared, given| declared == given)
    });
    if fitting.len() > 1 {
        keep_best(&mut fitting, |form| {
            count(form, &arguments, |declared, given| {
                declared == given || is_preferred(declared)
            })
        });
    }
    if fitting.len() > 1 {
        fitting = by_category(fitting, &arguments);
    }
    if fitting.len() > 1 {
        by_known_type(&mut fitting, &arguments);
    }
    match fitting[..] {
        [form] => instantiate(form, &arguments),
        [] => Choice::None,
        _ => Choice::Ambiguous,
    }
}

fn accepts(form: &Signature, arguments: &[Oid]) -> bool {
    form.arguments
        .iter()
        .zip(arguments)
        .all(|(declared, given)| coercible(*given, *declared))
        && consistent(form, arguments)
}

/// Whether the polymorphic arguments can be of one element type.
fn consistent(form: &Signature, arguments: &[Oid]) -> bool {
    let mut elements = form
        .arguments
        .iter()
        .zip(arguments)
        .filter_map(|(declared, given)| match *declared {
            _ if *given == UNKNOWN => None,
            ANYARRAY | ANYCOMPATIBLEARRAY => Some(element_of(*given)),
            ANYELEMENT | ANYNONARRAY | ANYCOMPATIBLE | ANYCOMPATIBLENONARRAY => Some(*given),
            _ => None,
        });
    let Some(first) = elements.next() else {
        return true;
    };
    elements.all(|next| next == first || coercible(next, first) || coercible(first, next))
}

fn count(form: &Signature, arguments: &[Oid], good: impl Fn(Oid, Oid) -> bool) -> usize {
    let pairs = form.arguments.iter().zip(arguments);
    pairs
        .filter(|(declared, given)| **given != UNKNOWN && good(**declared, **given))
        .count()
}

fn keep_best(forms: &mut Vec<&Signature>, score: impl Fn(&Signature) -> usize) {
    let best = forms.iter().map(|form| score(form)).max().unwrap_or(0);
    forms.retain(|form| score(form) == best);
}

/// Unknown arguments take the string category where a form has it, else the one that all agree on.
fn by_category<'a>(forms: Vec<&'a Signature>, arguments: &[Oid]) -> Vec<&'a Signature> {
    let mut kept = forms.clone();
    for (at, _) in arguments
        .iter()
        .enumerate()
        .filter(|(_, given)| **given == UNKNOWN)
    {
        let categories: Vec<(char, bool)> = forms
            .iter()
            .map(|form| pg_type::by_oid(form.arguments[at]))
            .map(|found| found.map_or(('X', false), |found| (found.category, found.preferred)))
            .collect();
        let category = match categories.iter().find(|(of, _)| *of == STRING_CATEGORY) {
            Some(_) => STRING_CATEGORY,
            None => categories[0].0,
        };
        let mixed = categories.iter().any(|(of, _)| *of != category);
        if mixed && category != STRING_CATEGORY {
            return forms;
        }
        let preferred = categories
            .iter()
            .any(|(of, preferred)| *of == category && *preferred);
        kept.retain(|form| {
            pg_type::by_oid(form.arguments[at])
                .is_some_and(|found| found.category == category && (!preferred || found.preferred))
        });
    }
    if kept.is_empty() { forms } else { kept }
}

/// Where all known arguments are of one type, the unknown ones are taken to be of it too.
fn by_known_type(forms: &mut Vec<&Signature>, arguments: &[Oid]) {
    let mut known = arguments.iter().filter(|given| **given != UNKNOWN);
    let Some(first) = known.next() else {
        return;
    };
    if known.any(|other| other != first) {
        return;
    }
    let assumed = vec![*first; arguments.len()];
    let fitting: Vec<&Signature> = forms
        .iter()
        .copied()
        .filter(|form| accepts(form, &assumed))
        .collect();
    if let [_] = fitting[..] {
        *forms = fitting;
    }
}

/// Replaces polymorphic types by those that the arguments give them.
fn instantiate(form: &Signature, arguments: &[Oid]) -> Choice {
    let elements: Vec<Oid> = form
        .arguments
        .iter()
        .zip(arguments)
        .filter(|(_, given)| ![UNKNOWN, OPAQUE].contains(*given))
        .filter_map(|(declared, given)| match *declared {
            ANYARRAY | ANYCOMPATIBLEARRAY => Some(element_of(*given)),
            ANYELEMENT | ANYNONARRAY | ANYCOMPATIBLE | ANYCOMPATIBLENONARRAY => Some(*given),
            _ => None,
        })
        .collect();
    let element = common(&elements).unwrap_or(OPAQUE);
    let element = if element == UNKNOWN { OPAQUE } else { element };
    let concrete = |declared: &Oid| match *declared {
        ANYARRAY | ANYCOMPATIBLEARRAY => array_of(element),
        ANYELEMENT | ANYNONARRAY | ANYCOMPATIBLE | ANYCOMPATIBLENONARRAY => element,
        // It takes an argument of any type, but gives an open one none.
        ANY => UNKNOWN,
        other => other,
    };
    let types = form.arguments.iter().map(concrete).collect();
    Choice::One(types, concrete(&form.result))
}

fn polymorphic_element(array: Oid) -> Option<Oid> {
    match array {
        ANYARRAY => Some(ANYELEMENT),
        ANYCOMPATIBLEARRAY => Some(ANYCOMPATIBLE),
        _ => None,
    }
}

/// The type that the branches of CASE, COALESCE, ARRAY or UNION get; `None` if they do not go
/// together. [`UNKNOWN`] if all are.
pub(super) fn common(types: &[Oid]) -> Option<Oid> {
    let mut chosen = UNKNOWN;
    for next in types.iter().copied().filter(|oid| *oid != UNKNOWN) {
        if next == OPAQUE || chosen == OPAQUE {
            return Some(OPAQUE);
        }
        if chosen == UNKNOWN {
            chosen = next;
        } else if chosen != next {
            let (had, has) = (pg_type::by_oid(chosen)?, pg_type::by_oid(next)?);
            if had.category != has.category {
                return None;
            }
            if !had.preferred && coercible(chosen, next) && !coercible(next, chosen) {
                chosen = next;
            }
        }
    }
    Some(chosen)
}

fn is_array(oid: Oid) -> bool {
    pg_type::by_oid(oid).is_some_and(|found| found.category == 'A')
}

fn is_preferred(oid: Oid) -> bool {
    pg_type::by_oid(oid).is_some_and(|found| found.preferred)
}

/// Whether a value of one type is taken where the other is declared, without a cast being written.
fn coercible(given: Oid, declared: Oid) -> bool {
    if given == declared || given == UNKNOWN {
        return true;
    }
    match declared {
        OPAQUE | ANY | ANYELEMENT | ANYCOMPATIBLE => return true,
        ANYARRAY | ANYCOMPATIBLEARRAY => return is_array(given),
        ANYNONARRAY | ANYCOMPATIBLENONARRAY => return !is_array(given),
        _ => {}
    }
    let (Some(given), Some(declared)) = (pg_type::by_oid(given), pg_type::by_oid(declared)) else {
        return false;
    };
    if is_true_array(given) && is_true_array(declared) {
        return coercible(given.element, declared.element);
    }
    IMPLICIT_CASTS.contains(&(given.oid, declared.oid))
}

fn is_true_array(found: &PgType) -> bool {
    found.element != 0 && found.name.starts_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::type_oids::{INT4, INT8, NUMERIC};

    fn oid(name: &str) -> Oid {
        pg_type::oid_of_name(name).unwrap()
    }

    fn operands(name: &str, left: &str, right: &str) -> String {
        match binary(name, oid(left), oid(right)) {
            Choice::One(types, result) => [types[0], types[1], result]
                .map(|oid| pg_type::by_oid(oid).map_or("?", |found| found.name))
                .join(" "),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn operators_are_those_of_postgresql() {
        assert_eq!(operands("=", "int4", "unknown"), "int4 int4 bool");
        assert_eq!(operands("=", "unknown", "unknown"), "text text bool");
        assert_eq!(operands("+", "unknown", "unknown"), "Ambiguous");
        assert_eq!(
            operands("*", "interval", "unknown"),
            "interval float8 interval"
        );
        assert_eq!(operands("||", "unknown", "unknown"), "text text text");
        assert_eq!(operands("||", "_int4", "unknown"), "_int4 _int4 _int4");
        assert_eq!(operands("+", "int4", "int8"), "int4 int8 int8");
        assert_eq!(operands("=", "varchar", "unknown"), "text text bool");
        assert_eq!(operands(">=", "date", "timestamp"), "date timestamp bool");
    }

    #[test]
    fn functions_are_those_of_postgresql() {
        let chosen = |name: &str, arguments: &[&str]| {
            let arguments: Vec<Oid> = arguments.iter().map(|name| oid(name)).collect();
            match call(&functions(name), &arguments) {
                Choice::One(types, _) => types
                    .iter()
                    .map(|oid| pg_type::by_oid(*oid).map_or("?", |found| found.name))
                    .collect::<Vec<_>>()
                    .join(" "),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(chosen("lower", &["unknown"]), "text");
        assert_eq!(
            chosen("date_trunc", &["unknown", "timestamp"]),
            "text timestamp"
        );
        assert_eq!(chosen("date_trunc", &["unknown", "unknown"]), "Ambiguous");
        assert_eq!(chosen("round", &["unknown"]), "float8");
        assert_eq!(chosen("round", &["unknown", "int4"]), "numeric int4");
        assert_eq!(chosen("array_append", &["_int4", "unknown"]), "_int4 int4");
        assert_eq!(chosen("make_interval", &["unknown"]), "int4");
        assert_eq!(chosen("extract", &["unknown", "unknown"]), "Ambiguous");
    }

    #[test]
    fn branches_take_one_type() {
        let common_of = |names: &[&str]| {
            let types: Vec<Oid> = names.iter().map(|name| oid(name)).collect();
            common(&types)
        };
        assert_eq!(common_of(&["int4", "unknown"]), Some(INT4));
        assert_eq!(common_of(&["int4", "numeric"]), Some(NUMERIC));
        assert_eq!(common_of(&["int8", "int4"]), Some(INT8));
        assert_eq!(common_of(&["unknown"]), Some(UNKNOWN));
        assert_eq!(common_of(&["bool", "int4"]), None);
    }
}
