//! The rows with a peer as bars: ours over theirs.

use std::path::Path;

use plotters::prelude::*;

use super::rows::Row;
use super::sh::Result;

const OURS: RGBColor = RGBColor(32, 96, 160);
const BAR: u32 = 28;

/// Writes an SVG: a bar a row, as long as the ratio; the line at 1 is the peer.
pub fn bars(path: &Path, rows: &[Row]) -> Result<()> {
    let bars: Vec<_> =
        rows.iter().filter(|row| row.unit == "tokens/s").filter_map(|row| Some((row, row.ratio()?))).collect();
    // Some peers are so far behind that their bars would leave the others no room.
    let bars: Vec<_> = bars.into_iter().filter(|(_, ratio)| *ratio < 10.0).collect();
    let highest = bars.iter().map(|(_, ratio)| *ratio).fold(1.0, f64::max) * 1.1;
    let root = SVGBackend::new(path, (900, 60 + BAR * bars.len() as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("PocketMLX over its peers, CPU", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(24)
        .y_label_area_size(330)
        .build_cartesian_2d(0.0..highest, 0..bars.len())?;
    let label = |index: &usize| {
        bars.get(bars.len().wrapping_sub(index + 1))
            .map_or(String::new(), |(row, _)| format!("{} / {}", row.name, row.peer))
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(bars.len())
        .y_label_offset(-(BAR as i32) / 2)
        .y_label_formatter(&label)
        .draw()?;
    chart.draw_series(bars.iter().rev().enumerate().map(|(index, (_, ratio))| {
        let mut bar = Rectangle::new([(0.0, index), (*ratio, index + 1)], OURS.filled());
        bar.set_margin(4, 4, 0, 0);
        bar
    }))?;
    chart.draw_series(std::iter::once(PathElement::new([(1.0, 0), (1.0, bars.len())], BLACK.stroke_width(2))))?;
    Ok(root.present()?)
}
