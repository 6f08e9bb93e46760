//! Plots of a run's own numbers, as SVG.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use strum::IntoEnumIterator as _;

use super::figures::{Curve, PlotName, Report, short};
use super::tenants::words;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failure = Box<dyn std::error::Error>;

const SIZE: (u32, u32) = (860, 480);
const FONT: (&str, u32) = ("sans-serif", 15);
/// Told apart by people who see colours differently (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// The plots for which there are numbers.
pub fn drawn(report: &Report) -> impl Iterator<Item = &'static str> {
    PlotName::iter().filter(|plot| !report.curves(*plot).is_empty()).map(Into::into)
}

/// Draws every plot for which there are numbers.
pub fn draw(report: &Report, directory: &Path) -> Result<(), Failure> {
    for plot in PlotName::iter() {
        let curves = report.curves(plot);
        if curves.is_empty() {
            continue;
        }
        let name: &str = plot.into();
        let path = directory.join(format!("{name}.svg"));
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        match plot {
            PlotName::Growth => by_rows(&area, "Seconds to erase a tenant, by its rows", "seconds", &curves)?,
            PlotName::Memory => by_rows(&area, "Peak memory of the operator, by the tenant's rows", "MiB", &curves)?,
            PlotName::Beside => percentiles(&area, &curves)?,
            PlotName::Bursts => bars(&area, &curves)?,
        }
        area.present()?;
    }
    Ok(())
}

/// Both axes logarithmic.
fn by_rows(area: &Area<'_>, caption: &str, unit: &str, curves: &[Curve]) -> Result<(), Failure> {
    let (x, y) = (span(curves, |p| p.0), span(curves, |p| p.1));
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 20))
        .margin(14)
        .margin_right(40)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x.log_scale(), y.log_scale())?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
    let rows = |rows: &f64| words(*rows as u64);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("rows")
        .x_labels(6)
        .y_desc(unit)
        .x_label_formatter(&rows)
        .y_label_formatter(&|y| short(*y))
        .label_style(FONT)
        .draw()?;
    for (place, curve) in curves.iter().enumerate() {
        let (colour, points) = (colour(curves, place), curve.points.clone());
        let marks = points.iter().map(|&point| Circle::new(point, 4, colour.filled()));
        chart.draw_series(marks)?;
        if curve.dashed {
            let style = ShapeStyle::from(colour).stroke_width(2);
            let drawn = chart.draw_series(DashedLineSeries::new(points, 7, 5, style))?;
            let label = format!("{}, beside an old snapshot", curve.side);
            drawn.label(label).legend(move |(x, y)| {
                let dash = |from, to| PathElement::new([(x + from, y), (x + to, y)], style);
                EmptyElement::at((0, 0)) + dash(0, 8) + dash(14, 22)
            });
        } else {
            let style = ShapeStyle::from(colour).stroke_width(2);
            let drawn = chart.draw_series(LineSeries::new(points, style))?;
            drawn.label(&curve.side).legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(FONT)
        .border_style(BLACK)
        .background_style(WHITE.mix(0.9))
        .draw()?;
    Ok(())
}

/// Latency by percentile; the axis of the percentiles gives each nine the same room.
fn percentiles(area: &Area<'_>, curves: &[Curve]) -> Result<(), Failure> {
    const MOST: f64 = 0.9999;
    let place = |share: f64| -(1.0 - share.min(MOST)).log10();
    let y = span(curves, |p| p.1);
    let mut chart = ChartBuilder::on(area)
        .caption("Small transactions of another tenant", ("sans-serif", 20))
        .margin(14)
        .margin_right(40)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(place(0.5)..place(MOST), y.log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("share of the transactions that took at most so long, in percent (right end: the slowest)")
        .y_desc("milliseconds")
        .x_labels(5)
        .x_label_formatter(&|nines| short(100.0 - 100.0 * 10f64.powf(-nines)))
        .y_label_formatter(&|y| short(*y))
        .label_style(FONT)
        .draw()?;
    for (at, curve) in curves.iter().enumerate() {
        let style = ShapeStyle::from(colour(curves, at)).stroke_width(2);
        let points = curve.points.iter().map(|&(share, ms)| (place(share), ms));
        let drawn = chart.draw_series(LineSeries::new(points, style))?;
        drawn.label(&curve.side).legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(FONT)
        .border_style(BLACK)
        .background_style(WHITE.mix(0.9))
        .draw()?;
    Ok(())
}

/// Two bars for each burst: the side is before the colon, the burst after it.
fn bars(area: &Area<'_>, curves: &[Curve]) -> Result<(), Failure> {
    let most = curves.iter().flat_map(|c| &c.points).map(|p| p.1).fold(0.0, f64::max);
    let groups = curves.iter().flat_map(|c| &c.points).map(|p| p.0).fold(0.0, f64::max) + 1.0;
    let mut chart = ChartBuilder::on(area)
        .caption("Objects deleted at once, a second", ("sans-serif", 20))
        .margin(14)
        .margin_right(40)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..groups, 0.0..most * 1.25)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(TRANSPARENT)
        .y_desc("objects a second")
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(FONT)
        .draw()?;
    let mut sides: Vec<&str> = Vec::new();
    for curve in curves {
        let (side, burst) = curve.side.split_once(": ").unwrap_or((&curve.side, ""));
        let known = sides.iter().position(|s| *s == side);
        let at = known.unwrap_or_else(|| {
            sides.push(side);
            sides.len() - 1
        });
        let style = COLOURS[at % COLOURS.len()].filled();
        for &(group, value) in &curve.points {
            let left = group + if at == 0 { 0.15 } else { 0.52 };
            let bar = Rectangle::new([(left, 0.0), (left + 0.33, value)], style);
            let drawn = chart.draw_series([bar])?;
            if known.is_none() {
                drawn.label(side).legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], style));
            }
            chart.draw_series([Text::new(short(value), (left + 0.11, value + most * 0.05), FONT)])?;
            if at == 0 {
                let below = chart.backend_coord(&(group + 0.3, 0.0));
                area.draw(&Text::new(burst.to_owned(), (below.0, below.1 + 8), FONT))?;
            }
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(FONT)
        .border_style(BLACK)
        .background_style(WHITE.mix(0.9))
        .draw()?;
    Ok(())
}

/// Curves of one side have one colour.
fn colour(curves: &[Curve], at: usize) -> RGBColor {
    let mut sides: Vec<&str> = Vec::new();
    for curve in &curves[..=at] {
        if !sides.contains(&curve.side.as_str()) {
            sides.push(&curve.side);
        }
    }
    let place = sides.iter().position(|side| *side == curves[at].side).unwrap_or(0);
    COLOURS[place % COLOURS.len()]
}

/// From a bit less than the least to a bit more than the most, for a logarithmic axis.
fn span(curves: &[Curve], of: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
    let values = || curves.iter().flat_map(|c| &c.points).map(&of);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    (least / 1.5).max(1e-6)..most * 1.5
}
