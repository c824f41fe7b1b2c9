//! Image lists against damaged input: a list or an error, never a panic, always soon, in bounded memory.
#![allow(clippy::unwrap_used)]

#[path = "../../tfnas/tests/support/damage.rs"]
mod damage;

use damage::{check_memory, damaged, inputs};
use tfnas_images::{ImageList, parse_classes};

const LIST: &str = "n01440764/n01440764_10026.JPEG 0\nn01440764/n01440764_10027.JPEG 0\na folder/an image.png 1\n";
const CLASSES: &str = "n01440764\nn01443537\nn01484850\n";

#[test]
fn damaged_lists_are_read_or_refused() {
    for index in 0..inputs() {
        let bytes = damaged(LIST.as_bytes(), index);
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(list) = ImageList::parse(&text, "list") {
            assert!(list.entries().iter().all(|entry| !entry.path.is_empty()));
        }
    }
    check_memory();
}

#[test]
fn damaged_class_names_are_read_or_refused() {
    for index in 0..inputs() {
        let bytes = damaged(CLASSES.as_bytes(), index);
        if let Ok(classes) = parse_classes(&String::from_utf8_lossy(&bytes), "classes") {
            assert!(classes.iter().all(|class| !class.is_empty()));
        }
    }
    check_memory();
}
