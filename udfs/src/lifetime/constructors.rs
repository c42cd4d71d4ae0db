//! Models made of published parameters.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::lifetime::model::{Kind, coerce_parameters, constructed};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `bgnbd`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "BG/NBD model of repeat purchases with these parameters. It has the type of what bgnbd_fit returns, with NULL for how the fit went. NULL if an argument is NULL. Parameters must be above 0; NaN and infinity are errors. Source: Fader, Hardie and Lee 2005.",
    syntax_example = "bgnbd(r, alpha, a, b)",
    sql_example = r"```sql
> SELECT CAST(p_alive(bgnbd(0.243, 4.414, 0.793, 2.426), 2, 30.43, 38.86) AS DECIMAL(8, 4)) AS p_alive;
+---------+
| p_alive |
+---------+
| 0.7266  |
+---------+
```",
    argument(name = "r", description = "Shape of the rates of purchase."),
    argument(name = "alpha", description = "Their scale, in units of time."),
    argument(
        name = "a",
        description = "First shape of the probabilities of leaving."
    ),
    argument(name = "b", description = "Second shape of them.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bgnbd;

export_scalar!(Bgnbd, bgnbd, bgnbd_udf);

impl ScalarDefinition for Bgnbd {
    const NAME: &'static str = "bgnbd";
    const PARAMETERS: &'static [&'static str] = &["r", "alpha", "a", "b"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_parameters(Kind::Bgnbd, types)
    }

    fn return_type(&self) -> DataType {
        Kind::Bgnbd.data_type()
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        constructed(Kind::Bgnbd, arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The scalar function `mbgnbd`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "MBG/NBD model of repeat purchases with these parameters. It has the type of what mbgnbd_fit returns, with NULL for how the fit went. NULL if an argument is NULL. Parameters must be above 0; NaN and infinity are errors. Source: Batislam, Denizel and Filiztekin 2007.",
    syntax_example = "mbgnbd(r, alpha, a, b)",
    sql_example = r"```sql
> SELECT CAST(p_alive(mbgnbd(0.525, 6.183, 0.891, 1.614), 0, 0, 27) AS DECIMAL(8, 4)) AS p_alive;
+---------+
| p_alive |
+---------+
| 0.4285  |
+---------+
```",
    argument(name = "r", description = "Shape of the rates of purchase."),
    argument(name = "alpha", description = "Their scale, in units of time."),
    argument(
        name = "a",
        description = "First shape of the probabilities of leaving."
    ),
    argument(name = "b", description = "Second shape of them.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mbgnbd;

export_scalar!(Mbgnbd, mbgnbd, mbgnbd_udf);

impl ScalarDefinition for Mbgnbd {
    const NAME: &'static str = "mbgnbd";
    const PARAMETERS: &'static [&'static str] = &["r", "alpha", "a", "b"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_parameters(Kind::Mbgnbd, types)
    }

    fn return_type(&self) -> DataType {
        Kind::Mbgnbd.data_type()
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        constructed(Kind::Mbgnbd, arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The scalar function `pareto_nbd`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Pareto/NBD model of repeat purchases with these parameters. It has the type of what pareto_nbd_fit returns, with NULL for how the fit went. NULL if an argument is NULL. Parameters must be above 0; NaN and infinity are errors. Source: Schmittlein, Morrison and Colombo 1987.",
    syntax_example = "pareto_nbd(r, alpha, s, beta)",
    sql_example = r"```sql
> SELECT CAST(p_alive(pareto_nbd(0.553, 10.578, 0.606, 11.669), 26, 30.86, 31) AS DECIMAL(8, 4)) AS p_alive;
+---------+
| p_alive |
+---------+
| 0.9979  |
+---------+
```",
    argument(name = "r", description = "Shape of the rates of purchase."),
    argument(name = "alpha", description = "Their scale, in units of time."),
    argument(name = "s", description = "Shape of the rates of leaving."),
    argument(name = "beta", description = "Their scale, in units of time.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ParetoNbdModel;

export_scalar!(ParetoNbdModel, pareto_nbd, pareto_nbd_udf);

impl ScalarDefinition for ParetoNbdModel {
    const NAME: &'static str = "pareto_nbd";
    const PARAMETERS: &'static [&'static str] = &["r", "alpha", "s", "beta"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_parameters(Kind::ParetoNbd, types)
    }

    fn return_type(&self) -> DataType {
        Kind::ParetoNbd.data_type()
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        constructed(Kind::ParetoNbd, arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The scalar function `gamma_gamma`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Gamma-Gamma model of spend per purchase with these parameters. It has the type of what gamma_gamma_fit returns, with NULL for how the fit went. NULL if an argument is NULL. Parameters must be above 0; NaN and infinity are errors. Source: Fader and Hardie 2013, note 025.",
    syntax_example = "gamma_gamma(p, q, v)",
    sql_example = r"```sql
> SELECT CAST(expected_spend(gamma_gamma(6.25, 3.74, 15.44), 2, 22.35) AS DECIMAL(8, 2)) AS spend;
+-------+
| spend |
+-------+
| 24.66 |
+-------+
```",
    argument(name = "p", description = "Shape of a customer's spend."),
    argument(name = "q", description = "Shape of what differs between customers."),
    argument(name = "v", description = "Scale of it, in the currency of the spend.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct GammaGammaModel;

export_scalar!(GammaGammaModel, gamma_gamma, gamma_gamma_udf);

impl ScalarDefinition for GammaGammaModel {
    const NAME: &'static str = "gamma_gamma";
    const PARAMETERS: &'static [&'static str] = &["p", "q", "v"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_parameters(Kind::GammaGamma, types)
    }

    fn return_type(&self) -> DataType {
        Kind::GammaGamma.data_type()
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        constructed(Kind::GammaGamma, arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The scalar function `sbg`.
#[user_doc(
    doc_section(label = "Lifetime value"),
    description = "Shifted beta-geometric model of contracts with these parameters. It has the type of what sbg_fit returns, with NULL for how the fit went. NULL if an argument is NULL. Parameters must be above 0; NaN and infinity are errors. Source: Fader and Hardie 2007.",
    syntax_example = "sbg(alpha, beta)",
    sql_example = r"```sql
> SELECT CAST(sbg_survival(sbg(0.704, 1.182), 4) AS DECIMAL(8, 3)) AS survival;
+----------+
| survival |
+----------+
| 0.332    |
+----------+
```",
    argument(
        name = "alpha",
        description = "First shape of the probabilities of leaving."
    ),
    argument(name = "beta", description = "Second shape of them.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SbgModel;

export_scalar!(SbgModel, sbg, sbg_udf);

impl ScalarDefinition for SbgModel {
    const NAME: &'static str = "sbg";
    const PARAMETERS: &'static [&'static str] = &["alpha", "beta"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_parameters(Kind::Sbg, types)
    }

    fn return_type(&self) -> DataType {
        Kind::Sbg.data_type()
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        constructed(Kind::Sbg, arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
