//! Replies of named fields.

use crate::server::reply::Reply;
use crate::sketch::Bounded;
use std::borrow::Cow;

/// A reply of named fields, in the making.
pub struct Fields(Vec<(Cow<'static, str>, Reply)>);

impl Fields {
    pub fn new() -> Fields {
        Fields(Vec::new())
    }

    pub fn field(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Reply>) {
        self.0.push((name.into(), value.into()));
    }

    /// The figure that a reply is about: under its name, then its interval as `lower` and `upper`; nulls where there is
    /// none.
    pub fn estimate(&mut self, name: &'static str, figure: impl Into<Option<Bounded>>) {
        let figure = figure.into();
        self.field(name, figure.map(|figure| figure.value));
        self.field("lower", figure.map(|figure| figure.lower));
        self.field("upper", figure.map(|figure| figure.upper));
    }

    /// Any other figure: under its name, then its interval as `<name>_lower` and `<name>_upper`; nulls where there
    /// is none.
    pub fn figure(&mut self, name: &'static str, figure: impl Into<Option<Bounded>>) {
        let figure = figure.into();
        let parts = [
            figure.map(|figure| figure.value),
            figure.map(|figure| figure.lower),
            figure.map(|figure| figure.upper),
        ];
        self.figure_of_parts(name, parts);
    }

    /// The same of a figure and bounds that may be missing each by itself.
    pub fn figure_of_parts(&mut self, name: &'static str, [value, lower, upper]: [Option<f64>; 3]) {
        self.field(name, value);
        self.field(format!("{name}_lower"), lower);
        self.field(format!("{name}_upper"), upper);
    }
}

impl From<Fields> for Reply {
    fn from(fields: Fields) -> Self {
        Reply::Map(fields.0)
    }
}
