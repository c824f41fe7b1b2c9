//! Validation of space definitions. Errors name the invalid field.

use std::ops::RangeInclusive;

use crate::definition::SpaceDefinition;
use crate::space::{allowed_widths, halved};

/// Maximum side of the input image, in pixels.
const MAX_RESOLUTION: usize = 2048;
/// Maximum number of channels between blocks, in the stems and in the feature mix.
const MAX_CHANNELS: usize = 8192;
/// Maximum number of classes.
const MAX_CLASSES: usize = 1_000_000;
/// Maximum size of a depthwise kernel.
const MAX_KERNEL: usize = 15;
/// Maximum expansion.
const MAX_EXPAND: usize = 32;
/// Minimum `max_expand`: half of it must give more channels than the input has. Otherwise the block would lose its
/// expand convolution, and thereby some of its weights, during the search.
const MIN_MAX_EXPAND: usize = 3;
/// Maximum number of operations, groups, and blocks of one group.
const MAX_COUNT: usize = 64;
/// Maximum step between widths.
const MAX_WIDTH_STEP: usize = 64;
/// Maximum number of weights of a supernet: 4 GB in f32.
const MAX_SUPERNET_WEIGHTS: u64 = 1_000_000_000;

/// Why a definition is not a valid search space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// A number is out of range.
    #[error("{field} is {value}: it must be {min} to {max}")]
    OutOfRange {
        /// Path of the field, such as `groups[2].channels`.
        field: String,
        /// The value found.
        value: usize,
        /// Minimum.
        min: usize,
        /// Maximum.
        max: usize,
    },
    /// The kernel size is even.
    #[error("{field} is {value}: a kernel must be odd, so that padding keeps the feature map's size")]
    EvenKernel {
        /// Path of the field.
        field: String,
        /// The value found.
        value: usize,
    },
    /// A list is empty or too long.
    #[error("{field} has {count} entries: it must have 1 to {max}")]
    Count {
        /// Path of the field.
        field: String,
        /// Number of entries.
        count: usize,
        /// Maximum number of entries.
        max: usize,
    },
    /// An initial width is outside the allowed widths.
    #[error(
        "{field} is {value}, with max_expand {max_expand}: the initial expansion must be from half of max_expand to max_expand"
    )]
    InitialWidth {
        /// Path of the field.
        field: String,
        /// The value found.
        value: usize,
        /// The operation's largest expansion.
        max_expand: usize,
    },
    /// The width of an operation could become as small as the input channels of a block.
    #[error(
        "{field} is {value}: half of it must be more than 1, because a block no wider than its {in_channels} input channels has no expand convolution; use {MIN_MAX_EXPAND} or more, and more than one input channel"
    )]
    NoExpansion {
        /// Path of the field.
        field: String,
        /// The value found.
        value: usize,
        /// Input channels of the narrowest block.
        in_channels: usize,
    },
    /// Two operations are equal: same kernel, same squeeze-excite, same widths.
    #[error(
        "operations[{second}] ({name}) has the kernel, max_expand and se_expand of operations[{first}]: leave one out"
    )]
    DuplicateOperation {
        /// Index of the earlier operation.
        first: usize,
        /// Index of the later operation.
        second: usize,
        /// Name of the later one.
        name: String,
    },
    /// A stride of 2 on a feature map of one pixel.
    #[error(
        "{field} is 2, but the feature map is 1x1 there: use stride 1, fewer strides before it, or a larger resolution"
    )]
    NothingToStride {
        /// Path of the field.
        field: String,
    },
    /// An operation has no valid width.
    #[error(
        "width_step is {step}: operations[{operation}] ({name}) has no multiple of it between {min} and {max}, its widths in a block of {in_channels} input channels; use a smaller step or more channels"
    )]
    NoWidth {
        /// The step.
        step: usize,
        /// The operation.
        operation: usize,
        /// Its name.
        name: String,
        /// Its smallest width before rounding.
        min: usize,
        /// Its largest width before rounding.
        max: usize,
        /// Input channels of the block.
        in_channels: usize,
    },
    /// The supernet is too large.
    #[error(
        "the supernet of this space would have {weights} weights, more than {MAX_SUPERNET_WEIGHTS}: use fewer channels, blocks or operations"
    )]
    TooLarge {
        /// Weights of all operations at their largest width.
        weights: u64,
    },
}

/// Validates a definition.
///
/// # Errors
/// Returns the first violated rule, in the order of the fields.
pub(crate) fn check(definition: &SpaceDefinition) -> Result<(), SpaceError> {
    within("resolution", definition.resolution, 1..=MAX_RESOLUTION)?;
    if let Some(classes) = definition.classes {
        within("classes", classes, 2..=MAX_CLASSES)?;
    }
    let first = &definition.first_stem;
    within("first_stem.channels", first.channels, 1..=MAX_CHANNELS)?;
    within("first_stem.stride", first.stride, 1..=2)?;
    let second = &definition.second_stem;
    within("second_stem.channels", second.channels, 1..=MAX_CHANNELS)?;
    within("second_stem.se_channels", second.se_channels, 0..=MAX_CHANNELS)?;
    check_operations(definition)?;
    check_groups(definition)?;
    within("feature_mix.channels", definition.feature_mix.channels, 1..=MAX_CHANNELS)?;
    check_expansion(definition)?;
    check_width_step(definition)?;
    check_strides(definition)?;
    let weights = supernet_weights(definition);
    if weights > MAX_SUPERNET_WEIGHTS {
        return Err(SpaceError::TooLarge { weights });
    }
    Ok(())
}

fn check_operations(definition: &SpaceDefinition) -> Result<(), SpaceError> {
    let operations = &definition.operations;
    count("operations", operations.len())?;
    for (index, operation) in operations.iter().enumerate() {
        let field = |name: &str| format!("operations[{index}].{name}");
        within(&field("kernel"), operation.kernel, 1..=MAX_KERNEL)?;
        if operation.kernel % 2 == 0 {
            return Err(SpaceError::EvenKernel { field: field("kernel"), value: operation.kernel });
        }
        within(&field("max_expand"), operation.max_expand, 1..=MAX_EXPAND)?;
        within(&field("expand"), operation.expand, 1..=MAX_EXPAND)?;
        within(&field("se_expand"), operation.se_expand, 0..=MAX_EXPAND)?;
        if operation.expand > operation.max_expand || 2 * operation.expand < operation.max_expand {
            return Err(SpaceError::InitialWidth {
                field: field("expand"),
                value: operation.expand,
                max_expand: operation.max_expand,
            });
        }
        let same = operations[..index].iter().position(|earlier| {
            earlier.kernel == operation.kernel
                && earlier.max_expand == operation.max_expand
                && earlier.se_expand == operation.se_expand
        });
        if let Some(first) = same {
            return Err(SpaceError::DuplicateOperation { first, second: index, name: operation.name() });
        }
    }
    Ok(())
}

fn check_groups(definition: &SpaceDefinition) -> Result<(), SpaceError> {
    count("groups", definition.groups.len())?;
    for (index, group) in definition.groups.iter().enumerate() {
        let field = |name: &str| format!("groups[{index}].{name}");
        within(&field("channels"), group.channels, 1..=MAX_CHANNELS)?;
        within(&field("blocks"), group.blocks, 1..=MAX_COUNT)?;
        within(&field("stride"), group.stride, 1..=2)?;
    }
    Ok(())
}

/// Every width of every block must exceed the block's input channels; the narrowest block decides.
fn check_expansion(definition: &SpaceDefinition) -> Result<(), SpaceError> {
    let narrowest =
        block_inputs(definition).map(|(in_channels, _)| in_channels).min().unwrap_or(definition.second_stem.channels);
    for (index, operation) in definition.operations.iter().enumerate() {
        if operation.max_expand * narrowest / 2 <= narrowest {
            return Err(SpaceError::NoExpansion {
                field: format!("operations[{index}].max_expand"),
                value: operation.max_expand,
                in_channels: narrowest,
            });
        }
    }
    Ok(())
}

/// Every operation of every block must have at least one width that is a multiple of the step.
fn check_width_step(definition: &SpaceDefinition) -> Result<(), SpaceError> {
    let step = definition.width_step;
    within("width_step", step, 1..=MAX_WIDTH_STEP)?;
    for (in_channels, _) in block_inputs(definition) {
        for (index, operation) in definition.operations.iter().enumerate() {
            if allowed_widths(in_channels, operation, step).is_none() {
                let max = operation.max_expand * in_channels;
                return Err(SpaceError::NoWidth {
                    step,
                    operation: index,
                    name: operation.name(),
                    min: max / 2,
                    max,
                    in_channels,
                });
            }
        }
    }
    Ok(())
}

fn check_strides(definition: &SpaceDefinition) -> Result<(), SpaceError> {
    let mut size = definition.resolution;
    let first = ("first_stem.stride".to_owned(), definition.first_stem.stride);
    let groups = definition.groups.iter().enumerate();
    let others = groups.map(|(index, group)| (format!("groups[{index}].stride"), group.stride));
    for (field, stride) in std::iter::once(first).chain(others) {
        if stride > 1 && size == 1 {
            return Err(SpaceError::NothingToStride { field });
        }
        size = halved(size, stride);
    }
    Ok(())
}

/// Number of weights of the supernet with all operations at their largest width. The limits of the single fields,
/// checked before, prevent an overflow of 64 bits.
fn supernet_weights(definition: &SpaceDefinition) -> u64 {
    let mut weights = 0u64;
    for (in_channels, out_channels) in block_inputs(definition) {
        for operation in &definition.operations {
            let width = operation.max_expand * in_channels;
            let se_channels = operation.se_expand * in_channels;
            let per_channel = in_channels + operation.kernel * operation.kernel + 2 * se_channels + out_channels;
            weights += width as u64 * per_channel as u64;
        }
    }
    let last = definition.groups.last().map_or(0, |group| group.channels);
    let mixed = definition.feature_mix.channels;
    weights + mixed as u64 * (last + definition.classes.unwrap_or(0)) as u64
}

/// Input and output channels of every block.
fn block_inputs(definition: &SpaceDefinition) -> impl Iterator<Item = (usize, usize)> {
    let mut in_channels = definition.second_stem.channels;
    definition.groups.iter().flat_map(move |group| {
        let first = (in_channels, group.channels);
        in_channels = group.channels;
        let others = std::iter::repeat_n((group.channels, group.channels), group.blocks - 1);
        std::iter::once(first).chain(others)
    })
}

fn within(field: &str, value: usize, allowed: RangeInclusive<usize>) -> Result<(), SpaceError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(SpaceError::OutOfRange { field: field.to_owned(), value, min: *allowed.start(), max: *allowed.end() })
}

fn count(field: &str, count: usize) -> Result<(), SpaceError> {
    if (1..=MAX_COUNT).contains(&count) {
        return Ok(());
    }
    Err(SpaceError::Count { field: field.to_owned(), count, max: MAX_COUNT })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::definition::Operation;
    use crate::space::Space;

    /// Returns the error message of the small space after a change.
    fn error_after(change: impl FnOnce(&mut SpaceDefinition)) -> String {
        let mut definition = Space::small().definition().clone();
        change(&mut definition);
        Space::new(definition).unwrap_err().to_string()
    }

    #[test]
    fn numbers_out_of_range_are_named_by_field() {
        for (error, expected) in [
            (error_after(|d| d.resolution = 0), "resolution is 0: it must be 1 to 2048"),
            (error_after(|d| d.resolution = usize::MAX), "resolution is 18446744073709551615"),
            (error_after(|d| d.classes = Some(1)), "classes is 1"),
            (error_after(|d| d.first_stem.stride = 3), "first_stem.stride is 3: it must be 1 to 2"),
            (error_after(|d| d.second_stem.channels = 0), "second_stem.channels is 0"),
            (error_after(|d| d.second_stem.se_channels = 9000), "second_stem.se_channels is 9000"),
            (error_after(|d| d.groups[1].channels = 0), "groups[1].channels is 0"),
            (error_after(|d| d.groups[1].blocks = 0), "groups[1].blocks is 0"),
            (error_after(|d| d.groups[2].stride = 0), "groups[2].stride is 0"),
            (error_after(|d| d.operations[3].kernel = 17), "operations[3].kernel is 17"),
            (error_after(|d| d.operations[0].max_expand = 1000), "operations[0].max_expand is 1000"),
            (error_after(|d| d.feature_mix.channels = 1 << 20), "feature_mix.channels is 1048576"),
        ] {
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn an_even_kernel_is_rejected() {
        let error = error_after(|d| d.operations[1].kernel = 4);
        assert!(error.starts_with("operations[1].kernel is 4: a kernel must be odd"), "{error}");
    }

    #[test]
    fn empty_and_overlong_lists_are_rejected() {
        let error = error_after(|d| d.groups.clear());
        assert_eq!(error, "groups has 0 entries: it must have 1 to 64");
        let error = error_after(|d| d.operations.clear());
        assert_eq!(error, "operations has 0 entries: it must have 1 to 64");
        let error = error_after(|d| d.groups = vec![d.groups[0].clone(); 65]);
        assert_eq!(error, "groups has 65 entries: it must have 1 to 64");
    }

    #[test]
    fn the_initial_width_must_be_within_the_bounds() {
        for expand in [1, 5] {
            let error = error_after(|d| d.operations[0].expand = expand);
            let expected = format!("operations[0].expand is {expand}, with max_expand 4");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_width_without_expand_convolution_is_rejected() {
        for max_expand in [1, 2] {
            let error = error_after(|d| {
                d.operations[0].expand = 1;
                d.operations[0].max_expand = max_expand;
            });
            assert!(error.contains("has no expand convolution"), "{error}");
        }
        let error = error_after(|d| {
            d.second_stem.channels = 1;
            d.operations[0].max_expand = 3;
        });
        assert!(error.contains("its 1 input channels"), "{error}");
    }

    #[test]
    fn a_step_without_valid_widths_is_rejected() {
        for step in [0, 65, usize::MAX] {
            let error = error_after(|d| d.width_step = step);
            assert_eq!(error, format!("width_step is {step}: it must be 1 to 64"));
        }
        let error = error_after(|d| d.width_step = 37);
        let expected = "width_step is 37: operations[0] (k3_e3) has no multiple of it between 16 and 32, its widths in \
                        a block of 8 input channels";
        assert!(error.starts_with(expected), "{error}");
        for step in [8, 16, 32] {
            let mut definition = Space::small().definition().clone();
            definition.width_step = step;
            Space::new(definition).unwrap();
        }
    }

    #[test]
    fn operations_that_differ_only_in_initial_width_are_duplicates() {
        let error = error_after(|d| {
            d.operations[2] = Operation { expand: 4, ..d.operations[0].clone() };
        });
        assert!(error.starts_with("operations[2] (k3_e4) has the kernel"), "{error}");
        assert!(error.contains("operations[0]"), "{error}");
    }

    #[test]
    fn a_stride_over_a_single_pixel_is_rejected() {
        let error = error_after(|d| d.resolution = 2);
        assert!(error.starts_with("groups[1].stride is 2, but the feature map is 1x1"), "{error}");
        let error = error_after(|d| d.resolution = 1);
        assert!(error.starts_with("first_stem.stride is 2"), "{error}");
    }

    #[test]
    fn a_too_large_supernet_is_rejected() {
        let error = error_after(|d| {
            d.groups =
                vec![
                    crate::definition::Group { channels: MAX_CHANNELS, blocks: MAX_COUNT, ..d.groups[0].clone() };
                    MAX_COUNT
                ];
        });
        assert!(error.starts_with("the supernet of this space would have"), "{error}");
    }
}
