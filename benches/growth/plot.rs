//! Lines on logarithmic axes, as SVG.

use std::fmt::Write;

/// A chart.
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// What is at the axes.
    pub x: String,
    /// What is at the axes.
    pub y: String,
    /// What is drawn.
    pub lines: Vec<Line>,
}

/// Points that belong together, all positive.
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

const SIDE: f64 = 300.0;
const MARGIN: f64 = 50.0;
const COLOURS: [&str; 4] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"];

/// The panels side by side.
pub fn draw(panels: &[Panel]) -> String {
    let (width, height) = ((SIDE + 2.0 * MARGIN) * panels.len() as f64, SIDE + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ =
            writeln!(svg, "<g transform=\"translate({:.0} {MARGIN:.0})\">", MARGIN + (SIDE + 2.0 * MARGIN) * i as f64);
        axes(&mut svg, panel);
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

/// The decades that the values lie in.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
    let high = values.fold(f64::MIN_POSITIVE, f64::max).log10().ceil();
    (low, high.max(low + 1.0))
}

fn axes(svg: &mut String, panel: &Panel) {
    let points = || panel.lines.iter().flat_map(|l| l.points.iter().copied());
    let (x0, x1) = decades(points().map(|p| p.0));
    let (y0, y1) = decades(points().map(|p| p.1));
    let across = |x: f64| (x.log10() - x0) / (x1 - x0) * SIDE;
    let down = |y: f64| SIDE - (y.log10() - y0) / (y1 - y0) * SIDE;

    let _ = writeln!(svg, "<text x=\"0\" y=\"-20\" font-size=\"14\">{}</text>", panel.title);
    let _ = writeln!(svg, "<text x=\"{SIDE}\" y=\"{}\" text-anchor=\"end\">{}</text>", SIDE + 32.0, panel.x);
    let _ = writeln!(svg, "<text x=\"-8\" y=\"-6\" text-anchor=\"end\">{}</text>", panel.y);
    for decade in x0 as i32..=x1 as i32 {
        let at = across(10f64.powi(decade));
        let _ = writeln!(svg, "<path d=\"M{at:.1} 0V{SIDE}\" stroke=\"#ddd\"/>");
        let text = label(decade);
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", SIDE + 16.0);
    }
    for decade in y0 as i32..=y1 as i32 {
        let at = down(10f64.powi(decade));
        let _ = writeln!(svg, "<path d=\"M0 {at:.1}H{SIDE}\" stroke=\"#ddd\"/>");
        let _ = writeln!(svg, "<text x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", at + 4.0, label(decade));
    }
    for (i, line) in panel.lines.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let at: Vec<String> = line.points.iter().map(|p| format!("{:.1},{:.1}", across(p.0), down(p.1))).collect();
        let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", at.join(" "));
        for (x, y) in &line.points {
            let _ =
                writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"{colour}\"/>", across(*x), down(*y));
        }
        let below = 14.0 * (i + 1) as f64;
        let _ = writeln!(svg, "<text x=\"8\" y=\"{below}\" fill=\"{colour}\">{}</text>", line.name);
    }
}

fn label(decade: i32) -> String {
    if (-2..=5).contains(&decade) { format!("{}", 10f64.powi(decade)) } else { format!("1e{decade}") }
}
