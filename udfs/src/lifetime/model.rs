//! A fitted model as a value: a struct with the text field `model`, its parameters by name, and
//! how the fit went. What a fit returns and what a constructor makes of published parameters have
//! the same type. Functions look for the fields by name, so that any struct with these will do.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringViewArray, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, internal_err, plan_err};

use crate::aggregate::for_each_row;
use crate::arguments::{doubles, finite, invalid_call, invalid_value, number, wrong_arity};
use crate::lifetime::beta_geometric::{BetaGeometric, Expectation};
use crate::lifetime::customer::{Customer, number_field};
use crate::lifetime::gamma_gamma::GammaGamma;
use crate::lifetime::pareto::ParetoNbd;
use crate::lifetime::sbg::Sbg;

/// The models there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Bgnbd,
    Mbgnbd,
    ParetoNbd,
    GammaGamma,
    Sbg,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Bgnbd,
        Self::Mbgnbd,
        Self::ParetoNbd,
        Self::GammaGamma,
        Self::Sbg,
    ];
    /// Models of when customers buy.
    pub(super) const PURCHASE: &'static [Self] = &[Self::Bgnbd, Self::Mbgnbd, Self::ParetoNbd];
    /// Models of what they spend.
    pub(super) const SPEND: &'static [Self] = &[Self::GammaGamma];
    /// Models of how long they stay under contract.
    pub(super) const CONTRACT: &'static [Self] = &[Self::Sbg];

    /// The text in the field `model`; also the name of the constructor.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bgnbd => "bgnbd",
            Self::Mbgnbd => "mbgnbd",
            Self::ParetoNbd => "pareto_nbd",
            Self::GammaGamma => "gamma_gamma",
            Self::Sbg => "sbg",
        }
    }

    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Bgnbd | Self::Mbgnbd => &["r", "alpha", "a", "b"],
            Self::ParetoNbd => &["r", "alpha", "s", "beta"],
            Self::GammaGamma => &["p", "q", "v"],
            Self::Sbg => &["alpha", "beta"],
        }
    }

    /// The type of a model of this kind.
    pub(super) fn data_type(self) -> DataType {
        DataType::Struct(self.fields())
    }

    fn fields(self) -> Fields {
        let double = |name: &&str| Field::new(*name, DataType::Float64, true);
        let head = [Field::new("model", DataType::Utf8View, true)];
        let parameters = self.parameters().iter().map(double);
        let tail = [
            Field::new("log_likelihood", DataType::Float64, true),
            Field::new("n", DataType::Int64, true),
            Field::new("iterations", DataType::Int64, true),
            Field::new("converged", DataType::Boolean, true),
        ];
        head.into_iter().chain(parameters).chain(tail).collect()
    }
}

/// What a fit has found.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fit {
    /// In the order of [`Kind::parameters`], if there are any.
    pub(super) parameters: Option<Vec<f64>>,
    pub(super) log_likelihood: Option<f64>,
    /// Customers.
    pub(super) n: i64,
    pub(super) iterations: i64,
}

/// A column of fitted models.
pub(super) fn fitted(kind: Kind, fits: &[Fit]) -> Result<ArrayRef> {
    let parameter = |place: usize| -> ArrayRef {
        let values = fits
            .iter()
            .map(|fit| fit.parameters.as_ref().map(|all| all[place]));
        Arc::new(values.collect::<Float64Array>())
    };
    let names = fits.iter().map(|_| kind.name());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringViewArray::from_iter_values(names))];
    columns.extend((0..kind.parameters().len()).map(parameter));
    let log_likelihoods = fits.iter().map(|fit| fit.log_likelihood);
    let count = |of: fn(&Fit) -> i64| Int64Array::from_iter_values(fits.iter().map(of));
    let converged = fits.iter().map(|fit| Some(fit.parameters.is_some()));
    columns.push(Arc::new(log_likelihoods.collect::<Float64Array>()));
    columns.push(Arc::new(count(|fit| fit.n)));
    columns.push(Arc::new(count(|fit| fit.iterations)));
    columns.push(Arc::new(converged.collect::<BooleanArray>()));
    Ok(Arc::new(StructArray::try_new(
        kind.fields(),
        columns,
        None,
    )?))
}

/// Coerced types of a constructor's arguments.
pub(super) fn coerce_parameters(kind: Kind, types: &[DataType]) -> Result<Vec<DataType>> {
    let parameters = kind.parameters();
    if types.len() != parameters.len() {
        let form = format!("{}({})", kind.name(), parameters.join(", "));
        return wrong_arity(kind.name(), &form, types.len());
    }
    let named = parameters.iter().zip(types);
    named
        .map(|(name, given)| number(kind.name(), name, given))
        .collect()
}

/// A column of models from columns of parameters; NULL where one of them is.
pub(super) fn constructed(kind: Kind, arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let rows = arguments[0].len();
    let nulls = NullBuffer::union_many(arguments.iter().map(Array::nulls));
    let parameters = arguments.iter().map(doubles).collect::<Result<Vec<_>>>()?;
    for_each_row(nulls.as_ref(), rows, |row| {
        for (column, name) in parameters.iter().zip(kind.parameters()) {
            positive(kind.name(), name, column.value(row))?;
        }
        Ok(())
    })?;
    let names = StringViewArray::from_iter_values((0..rows).map(|_| kind.name()));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(names)];
    columns.extend(arguments.iter().cloned());
    let fields = kind.fields();
    for field in &fields[columns.len()..] {
        columns.push(arrow::array::new_null_array(field.data_type(), rows));
    }
    Ok(Arc::new(StructArray::try_new(fields, columns, nulls)?))
}

fn positive(function: &str, parameter: &str, value: f64) -> Result<f64> {
    let value = finite(function, parameter, value)?;
    if value > 0.0 {
        return Ok(value);
    }
    Err(invalid_value(
        function,
        format!("{parameter} {value} must be above 0; parameters of the models are"),
    ))
}

/// The type of a model argument, which stays what it is.
pub(super) fn model_type(
    function: &str,
    argument: &str,
    accepted: &[Kind],
    given: &DataType,
) -> Result<DataType> {
    let makers = makers(accepted);
    match given {
        DataType::Null => Ok(accepted[0].data_type()),
        DataType::Struct(fields) => {
            let named = fields.iter().any(|field| {
                let text = matches!(
                    field.data_type(),
                    DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
                );
                text && field.name().eq_ignore_ascii_case("model")
            });
            if named {
                return Ok(given.clone());
            }
            plan_err!(
                "{function}(): {argument} is a struct without the text field model; pass one made \
                 by {makers}"
            )
        }
        given => {
            plan_err!("{function}(): {argument} must be a model made by {makers}, not {given}")
        }
    }
}

fn makers(accepted: &[Kind]) -> String {
    let names = accepted
        .iter()
        .map(|kind| format!("{0}_fit or {0}", kind.name()));
    names.collect::<Vec<_>>().join(", ")
}

/// A column of models, ready to be read by row.
pub(super) struct Models {
    function: &'static str,
    argument: &'static str,
    accepted: &'static [Kind],
    names: StringViewArray,
    parameters: Vec<(&'static str, Float64Array)>,
    /// The row that was read last, and its model: one model mostly stands in all rows.
    last: Cell<Option<(usize, Option<KnownModel>)>>,
}

/// A kind with its parameters in order.
type KnownModel = (Kind, [f64; 4]);

impl Models {
    pub(super) fn new(
        function: &'static str,
        argument: &'static str,
        accepted: &'static [Kind],
        array: &ArrayRef,
    ) -> Result<Self> {
        let Some(structs) = array.as_struct_opt() else {
            return internal_err!("{function}(): {argument} has type {}", array.data_type());
        };
        let fields = structs.fields().iter();
        let place = fields
            .enumerate()
            .find_map(|(place, field)| field.name().eq_ignore_ascii_case("model").then_some(place));
        let Some(place) = place else {
            return internal_err!("{function}(): {argument} has no field model");
        };
        let names = compute::cast(structs.column(place), &DataType::Utf8View)?;
        let names = names.as_string_view();
        let nulls = NullBuffer::union(structs.nulls(), names.nulls());
        let (views, buffers, _) = names.clone().into_parts();
        let mut parameters = Vec::new();
        for name in ["r", "alpha", "a", "b", "s", "beta", "p", "q", "v"] {
            if let Some(column) = number_field(structs, name)? {
                parameters.push((name, column));
            }
        }
        Ok(Self {
            function,
            argument,
            accepted,
            names: StringViewArray::try_new(views, buffers, nulls)?,
            parameters,
            last: Cell::new(None),
        })
    }

    /// The kind and the parameters of a row's model; `None` if it is NULL or did not converge.
    #[inline]
    fn at(&self, row: usize) -> Result<Option<KnownModel>> {
        let row = if self.is_constant() { 0 } else { row };
        if let Some((last, known)) = self.last.get()
            && (last == row || self.are_same(last, row))
        {
            return Ok(known);
        }
        let known = self.read(row)?;
        self.last.set(Some((row, known)));
        Ok(known)
    }

    /// Whether one row stands for all.
    pub(super) fn is_constant(&self) -> bool {
        self.names.len() == 1
    }

    /// Whether two rows clearly hold the same model; false only costs time.
    fn are_same(&self, one: usize, other: usize) -> bool {
        let same_name = self.names.is_valid(one)
            && self.names.is_valid(other)
            && self.names.views()[one] == self.names.views()[other];
        let same = |column: &Float64Array| {
            column.is_valid(one) == column.is_valid(other)
                && column.value(one).to_bits() == column.value(other).to_bits()
        };
        same_name && self.parameters.iter().all(|(_, column)| same(column))
    }

    fn read(&self, row: usize) -> Result<Option<KnownModel>> {
        if self.names.is_null(row) {
            return Ok(None);
        }
        let name = self.names.value(row);
        let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
        let Some(kind) = kind.filter(|kind| self.accepted.contains(kind)) else {
            return Err(invalid_call(
                self.function,
                format!(
                    "{} is of the model '{name}'; pass one made by {}",
                    self.argument,
                    makers(self.accepted)
                ),
            ));
        };
        let mut found = [0.0; 4];
        for (slot, parameter) in found.iter_mut().zip(kind.parameters()) {
            let column = self.parameters.iter().find(|(known, _)| known == parameter);
            let Some((_, column)) = column else {
                return Err(invalid_call(
                    self.function,
                    format!(
                        "{} of the model '{name}' has no field {parameter}; pass one made by {}",
                        self.argument,
                        makers(&[*kind])
                    ),
                ));
            };
            if column.is_null(row) {
                return Ok(None);
            }
            *slot = positive(self.function, parameter, column.value(row))?;
        }
        Ok(Some((*kind, found)))
    }

    /// A row's model of purchases.
    pub(super) fn purchase(&self, row: usize) -> Result<Option<PurchaseModel>> {
        Ok(self
            .at(row)?
            .map(|(kind, parameters)| PurchaseModel::new(kind, parameters)))
    }

    /// A row's model of spend.
    pub(super) fn spend(&self, row: usize) -> Result<Option<GammaGamma>> {
        let spend = |(_, [p, q, v, _]): KnownModel| GammaGamma { p, q, v };
        Ok(self.at(row)?.map(spend))
    }

    /// A row's model of contracts.
    pub(super) fn contract(&self, row: usize) -> Result<Option<Sbg>> {
        let contract = |(_, [alpha, beta, ..]): (Kind, [f64; 4])| Sbg { alpha, beta };
        Ok(self.at(row)?.map(contract))
    }
}

/// A model of when customers buy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum PurchaseModel {
    BetaGeometric(BetaGeometric),
    Pareto(ParetoNbd),
}

impl PurchaseModel {
    /// From parameters in the order of [`Kind::parameters`].
    pub(super) fn new(kind: Kind, parameters: [f64; 4]) -> Self {
        let [r, alpha, third, fourth] = parameters;
        if kind == Kind::ParetoNbd {
            let (s, beta) = (third, fourth);
            return Self::Pareto(ParetoNbd { r, alpha, s, beta });
        }
        Self::BetaGeometric(BetaGeometric {
            r,
            alpha,
            a: third,
            b: fourth,
            chances: f64::from(u8::from(kind == Kind::Mbgnbd)),
        })
    }

    pub(super) fn p_alive(&self, customer: &Customer) -> f64 {
        match self {
            Self::BetaGeometric(model) => model.p_alive(customer),
            Self::Pareto(model) => model.p_alive(customer),
        }
    }

    pub(super) fn probability(&self, n: f64, t: f64) -> f64 {
        match self {
            Self::BetaGeometric(model) => model.probability(n, t),
            Self::Pareto(model) => model.probability(n, t),
        }
    }
}

/// Expected purchases of one customer after another; keeps its allocation.
#[derive(Debug, Default)]
pub(super) struct Forecast {
    series: Expectation,
    pareto: Option<(ParetoNbd, Customer, f64)>,
}

impl Forecast {
    /// Turns to a customer with a history.
    pub(super) fn of(&mut self, model: &PurchaseModel, customer: &Customer) {
        match model {
            PurchaseModel::BetaGeometric(model) => {
                self.pareto = None;
                self.series.of(model, customer);
            }
            PurchaseModel::Pareto(model) => {
                self.pareto = Some((*model, *customer, model.p_alive(customer)));
            }
        }
    }

    /// Expected purchases within a time from now.
    pub(super) fn within(&mut self, horizon: f64) -> f64 {
        if horizon == 0.0 {
            return 0.0;
        }
        match &self.pareto {
            Some((model, customer, alive)) => alive * model.while_alive(customer, horizon),
            None => self.series.within(horizon),
        }
    }

    /// Expected purchases of the next periods, each discounted to now.
    pub(super) fn discounted(&mut self, periods: u32, discount: f64) -> f64 {
        if discount == 0.0 {
            return self.within(f64::from(periods));
        }
        let (mut sum, mut before, mut factor) = (0.0, 0.0, 1.0);
        for period in 1..=periods {
            factor /= 1.0 + discount;
            let until = self.within(f64::from(period));
            sum += (until - before) * factor;
            before = until;
        }
        sum
    }
}
