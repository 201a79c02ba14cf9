//! What all charts are drawn with: a white ground, shapes, and text in a font of the reader.

use crate::figures::{Figures, MACHINE, is_ours};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What one draws on, in pixels.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What goes wrong.
pub type Error = Box<dyn std::error::Error>;

pub const WIDTH: i32 = 960;
pub const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
pub const GRID: RGBColor = RGBColor(0xd8, 0xde, 0xe4);
const FONT: &str = "sans-serif";
/// For peers; ours are blue, and the machine is grey.
const COLOURS: [RGBColor; 9] = [
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0x6a, 0x3d, 0x9a),
    RGBColor(0xb1, 0x59, 0x28),
    RGBColor(0x66, 0xa6, 0x1e),
    RGBColor(0xa6, 0x76, 0x1d),
];
const OUR_COLOURS: [RGBColor; 3] =
    [RGBColor(0x05, 0x50, 0xae), RGBColor(0x54, 0xae, 0xff), RGBColor(0x0a, 0x30, 0x69)];

/// Draws a chart of this height.
pub fn svg(
    height: i32,
    draw: impl FnOnce(&Area<'_>) -> Result<(), Error>,
) -> Result<String, Error> {
    let mut text = String::new();
    {
        let area =
            SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(text)
}

/// The same colour for a peer in all charts.
pub fn colour(figures: &Figures, peer: &str) -> RGBColor {
    if peer == MACHINE {
        return RGBColor(0x8c, 0x95, 0x9f);
    }
    let alike = figures
        .peers
        .iter()
        .filter(|known| known.name != MACHINE && is_ours(&known.name) == is_ours(peer));
    let place = alike.take_while(|known| known.name != peer).count();
    if is_ours(peer) {
        OUR_COLOURS[place % OUR_COLOURS.len()]
    } else {
        COLOURS[place % COLOURS.len()]
    }
}

/// Where text stands to its point.
#[derive(Clone, Copy)]
pub enum Side {
    LeftOf,
    RightOf,
    Around,
}

/// Text, its middle as high as the point.
pub fn text(
    area: &Area<'_>,
    at: (i32, i32),
    side: Side,
    size: i32,
    text: &str,
) -> Result<(), Error> {
    let across = match side {
        Side::LeftOf => HPos::Right,
        Side::RightOf => HPos::Left,
        Side::Around => HPos::Center,
    };
    // The backend sets it this much smaller.
    let size = f64::from(size) * 1.24;
    let style =
        TextStyle::from((FONT, size).into_font()).color(&INK).pos(Pos::new(across, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// A filled rectangle.
pub fn block(
    area: &Area<'_>,
    from: (i32, i32),
    to: (i32, i32),
    colour: &impl Color,
) -> Result<(), Error> {
    area.draw(&Rectangle::new([from, to], colour.filled()))?;
    Ok(())
}

/// A straight line.
pub fn line(
    area: &Area<'_>,
    from: (i32, i32),
    to: (i32, i32),
    colour: RGBColor,
) -> Result<(), Error> {
    area.draw(&PathElement::new([from, to], colour.stroke_width(1)))?;
    Ok(())
}

/// A disc.
pub fn dot(area: &Area<'_>, at: (i32, i32), colour: RGBColor) -> Result<(), Error> {
    area.draw(&Circle::new(at, 5, colour.filled()))?;
    Ok(())
}
