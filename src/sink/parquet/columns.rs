//! Cells into the arrays of Arrow, column by column.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder, Float64Builder,
    Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::types::{ArrowPrimitiveType, Decimal256Type};
use arrow_schema::{DataType, Field, TimeUnit};

use crate::schema::{Cell, Column, ColumnType};

type I256 = <Decimal256Type as ArrowPrimitiveType>::Native;

/// The most digits of a decimal that all readers know.
const COMMON_DIGITS: u8 = 38;

/// What a column is in Arrow, and so in Parquet.
pub(super) fn field(column: &Column) -> Field {
    Field::new(column.name(), data_type(column.column_type()), !column.is_required())
}

fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Decimal { precision, scale } => {
            let scale = i8::try_from(scale).unwrap_or(i8::MAX);
            match precision <= COMMON_DIGITS {
                true => DataType::Decimal128(precision, scale),
                false => DataType::Decimal256(precision, scale),
            }
        }
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Date => DataType::Date32,
        ColumnType::Text | ColumnType::Json => DataType::Utf8,
    }
}

/// Gathers the cells of a column.
#[derive(Debug)]
pub(super) enum Builder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    /// With its digits behind the point.
    Decimal(Decimal128Builder, u8),
    LongDecimal(Decimal256Builder, u8),
    Text(StringBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Date(Date32Builder),
}

impl Builder {
    pub(super) fn new(column_type: ColumnType) -> Self {
        let data_type = data_type(column_type);
        match column_type {
            ColumnType::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnType::Int64 => Self::Int(Int64Builder::new()),
            ColumnType::Float64 => Self::Float(Float64Builder::new()),
            ColumnType::Decimal { precision, scale } if precision <= COMMON_DIGITS => {
                Self::Decimal(Decimal128Builder::new().with_data_type(data_type), scale)
            }
            ColumnType::Decimal { scale, .. } => {
                Self::LongDecimal(Decimal256Builder::new().with_data_type(data_type), scale)
            }
            ColumnType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type))
            }
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Text | ColumnType::Json => Self::Text(StringBuilder::new()),
        }
    }

    /// Adds a cell. False if it is none of this column's.
    pub(super) fn add(&mut self, cell: &Cell<'_>) -> bool {
        match (self, cell) {
            (Self::Bool(builder), Cell::Bool(value)) => builder.append_value(*value),
            (Self::Int(builder), Cell::Int(value)) => builder.append_value(*value),
            (Self::Float(builder), Cell::Float(value)) => builder.append_value(*value),
            (Self::Text(builder), Cell::Text(text)) => builder.append_value(text),
            (Self::Text(builder), Cell::Json(text)) => builder.append_value(text),
            (Self::Timestamp(builder), Cell::Timestamp(micros)) => builder.append_value(*micros),
            (Self::Date(builder), Cell::Date(days)) => builder.append_value(*days),
            (Self::Decimal(builder, scale), Cell::Decimal(text)) => {
                let Some(value) = unscaled(text, *scale).and_then(|digits| digits.parse().ok()) else {
                    return false;
                };
                builder.append_value(value);
            }
            (Self::LongDecimal(builder, scale), Cell::Decimal(text)) => {
                let Some(value) = unscaled(text, *scale).and_then(|digits| I256::from_string(&digits)) else {
                    return false;
                };
                builder.append_value(value);
            }
            (builder, Cell::Null) => builder.add_null(),
            _ => return false,
        }
        true
    }

    fn add_null(&mut self) {
        match self {
            Self::Bool(builder) => builder.append_null(),
            Self::Int(builder) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Decimal(builder, _) => builder.append_null(),
            Self::LongDecimal(builder, _) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
        }
    }

    /// Gives what was gathered, and begins anew.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(builder) => ArrayBuilder::finish(builder),
            Self::Int(builder) => ArrayBuilder::finish(builder),
            Self::Float(builder) => ArrayBuilder::finish(builder),
            Self::Decimal(builder, _) => ArrayBuilder::finish(builder),
            Self::LongDecimal(builder, _) => ArrayBuilder::finish(builder),
            Self::Text(builder) => ArrayBuilder::finish(builder),
            // Its type has the time zone.
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => ArrayBuilder::finish(builder),
        }
    }
}

/// The digits of a decimal without its point, with as many behind it as the column has: `-1.5` with two is `-150`.
fn unscaled(text: &str, scale: u8) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let missing = usize::from(scale).checked_sub(fraction.len())?;
    Some(format!("{whole}{fraction}{}", "0".repeat(missing)))
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;

    use super::*;

    #[test]
    fn a_decimal_keeps_its_value() {
        for (text, scale, expected) in
            [("-1.5", 2, "-150"), ("12", 0, "12"), ("-0.05", 2, "-005"), ("7", 3, "7000")]
        {
            assert_eq!(unscaled(text, scale).as_deref(), Some(expected));
        }
        assert_eq!(unscaled("1.234", 2), None);
        assert_eq!("-005".parse::<i128>().unwrap(), I256::from_string("-005").unwrap().to_i128().unwrap());
        let mut long = Builder::new(ColumnType::Decimal { precision: 76, scale: 4 });
        assert!(long.add(&Cell::Decimal("9".repeat(72).into())));
        assert!(!long.add(&Cell::Int(7)));
        assert_eq!(long.finish().len(), 1);
    }
}
