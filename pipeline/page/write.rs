use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tfnas_artifacts::{Cache, LedgerError, RunId};
use tfnas_report::{Comparison, Report};

use super::{Images, gather};

/// Why a page is not written.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The output is a folder.
    #[error("{} is a folder", path.display())]
    Folder {
        /// The output.
        path: PathBuf,
    },
    /// A file or a folder cannot be made.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The run cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoRun(RunId),
}

/// Writes the page of a report; readers see an older page or this one.
///
/// # Errors
/// [`PageError::Folder`], [`PageError::Write`].
pub fn write_page(report: &Report, path: &Path) -> Result<(), PageError> {
    write(path, &report.html())
}

/// Writes the page of several runs; readers see an older page or this one.
///
/// # Errors
/// [`PageError::Folder`], [`PageError::Write`].
pub fn write_comparison(comparison: &Comparison, path: &Path) -> Result<(), PageError> {
    write(path, &comparison.html())
}

/// Writes each figure and each table of a report into a folder, which is made if need be; returns the files.
///
/// # Errors
/// [`PageError::Folder`], [`PageError::Write`]: the files before it are written.
pub fn write_figures(report: &Report, folder: &Path) -> Result<Vec<PathBuf>, PageError> {
    fs::create_dir_all(folder).map_err(|source| PageError::Write { path: folder.to_owned(), source })?;
    let written = report.files().into_iter().map(|file| {
        let path = folder.join(file.name);
        write(&path, &file.text).map(|()| path)
    });
    written.collect()
}

/// Writes the page of a run into its store; returns the file.
///
/// # Errors
/// As [`write_page`], and a ledger that cannot be read.
pub fn write_beside(cache: &Cache, id: RunId) -> Result<PathBuf, PageError> {
    let run = cache.ledger().run(id)?.ok_or(PageError::NoRun(id))?;
    let path = cache.store().report_file(id);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| PageError::Write { path: folder.to_owned(), source })?;
    }
    write_page(&gather(cache, &run, Images::Shown)?, &path)?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> Result<(), PageError> {
    if path.is_dir() {
        return Err(PageError::Folder { path: path.to_owned() });
    }
    tfnas_fs::write_atomic(path, text.as_bytes()).map_err(|source| PageError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_folder_is_not_overwritten_and_figures_make_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_page(&Report::default(), folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("is a folder"), "{error}");
        let files = write_figures(&Report::default(), &folder.path().join("a/b")).unwrap();
        assert!(files.iter().all(|file| file.is_file()));
        let error = write_page(&Report::default(), &folder.path().join("none/report.html")).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
    }
}
