//! What a run measures: figures with their spread, and rows that compare one with others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::machine::Machine;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "/s")]
    PerSecond,
    #[serde(rename = "/min")]
    PerMinute,
    #[serde(rename = "MiB")]
    Mebibytes,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Seconds => " s",
            Self::Milliseconds => " ms",
            Self::PerSecond => "/s",
            Self::PerMinute => "/min",
            Self::Mebibytes => " MiB",
        }
    }
}

/// One side of a row, measured several times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured: `hand-written SQL`.
    pub side: String,
    pub unit: Unit,
    /// In the order in which they were measured.
    pub samples: Vec<f64>,
}

impl Figure {
    pub fn new(side: impl Into<String>, unit: Unit, samples: Vec<f64>) -> Self {
        Self { side: side.into(), unit, samples }
    }

    pub fn median(&self) -> f64 {
        quantile(&self.samples, 0.5)
    }

    /// `2.41 s (2.35 to 2.60)`; without the spread if there is one sample.
    pub fn text(&self) -> String {
        let (least, most) = (quantile(&self.samples, 0.0), quantile(&self.samples, 1.0));
        let spread =
            if self.samples.len() < 2 { String::new() } else { format!(" ({} to {})", short(least), short(most)) };
        format!("{}{}{spread}", short(self.median()), self.unit.name())
    }
}

/// Three significant digits, as people read them.
pub fn short(value: f64) -> String {
    match value.abs() {
        a if a >= 100.0 || a == 0.0 => format!("{value:.0}"),
        a if a >= 10.0 => format!("{value:.1}"),
        a if a >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The value below which this share of the samples lies. NaN without samples.
pub fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is from 0 to 1")]
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}

/// What the operator's figure must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// At most so many times the first other figure.
    AtMostTimes(f64),
    /// At least so many times the first other figure.
    AtLeastTimes(f64),
    /// At most this.
    AtMost(f64),
    /// Nothing: the row is there to be seen.
    Nothing,
}

/// What the operator does, beside what a person would use instead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    pub ours: Ours,
    /// The first one is what the operator is compared with.
    pub instead: Vec<Figure>,
    pub target: Target,
}

/// The operator's figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ours {
    Measured(Figure),
    /// Why there is none.
    Missing(String),
}

impl Row {
    /// The four cells after the first: the operator, what is used instead, how they compare, and the target.
    pub fn cells(&self) -> [String; 4] {
        let ours = match &self.ours {
            Ours::Measured(figure) => format!("{}: {}", figure.side, figure.text()),
            Ours::Missing(why) => why.clone(),
        };
        let instead: Vec<String> = self.instead.iter().map(|f| format!("{}: {}", f.side, f.text())).collect();
        let times = self.times().map_or_else(|| "-".to_owned(), |times| format!("{times:.2} times"));
        [ours, instead.join("; "), times, self.verdict()]
    }

    /// How many times the other figure the operator's is.
    fn times(&self) -> Option<f64> {
        let Ours::Measured(figure) = &self.ours else { return None };
        let other = self.instead.first()?;
        (other.unit == figure.unit && other.median() != 0.0).then(|| figure.median() / other.median())
    }

    fn verdict(&self) -> String {
        let told = |target: String, missed: Option<String>| match (&self.ours, missed) {
            (Ours::Missing(_), _) => target,
            (_, None) => format!("{target}: reached"),
            (_, Some(by)) => format!("{target}: missed by {by}"),
        };
        let times = self.times().unwrap_or(f64::NAN);
        match (self.target, &self.ours) {
            (Target::Nothing, _) => "-".to_owned(),
            (Target::AtMostTimes(most), _) => {
                told(format!("at most {most} times"), (times > most).then(|| format!("{:.2}", times - most)))
            }
            (Target::AtLeastTimes(least), _) => {
                told(format!("at least {least} times"), (times < least).then(|| format!("{:.2}", least - times)))
            }
            (Target::AtMost(most), Ours::Measured(figure)) => {
                let over = figure.median() - most;
                let name = figure.unit.name();
                told(format!("at most {}{name}", short(most)), (over > 0.0).then(|| format!("{}{name}", short(over))))
            }
            (Target::AtMost(most), Ours::Missing(_)) => format!("at most {}", short(most)),
        }
    }
}

/// A line of a plot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    pub plot: PlotName,
    pub side: String,
    /// Whether an old snapshot was held open.
    #[serde(default)]
    pub dashed: bool,
    /// Ascending in the first number.
    pub points: Vec<(f64, f64)>,
}

/// The plots, which are files of these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumIter)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum PlotName {
    /// Seconds by rows.
    Growth,
    /// The operator's memory by rows.
    Memory,
    /// Latencies of another tenant by percentile.
    Beside,
    /// Objects a second by objects.
    Bursts,
}

/// What one part of the suite measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Section {
    pub machine: Machine,
    pub rows: Vec<Row>,
    pub curves: Vec<Curve>,
}

/// What all parts measured last, by their names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub sections: BTreeMap<String, Section>,
}

impl Report {
    /// The lines of a plot. Parts that measured one side add to one line.
    pub fn curves(&self, plot: PlotName) -> Vec<Curve> {
        let mut merged: Vec<Curve> = Vec::new();
        for curve in self.sections.values().flat_map(|s| &s.curves).filter(|c| c.plot == plot) {
            match merged.iter_mut().find(|c| c.side == curve.side && c.dashed == curve.dashed) {
                Some(known) => known.points.extend(&curve.points),
                None => merged.push(curve.clone()),
            }
        }
        for curve in &mut merged {
            curve.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        merged
    }
}
