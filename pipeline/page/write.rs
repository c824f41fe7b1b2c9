use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tfnas_artifacts::{Cache, LedgerError, RunId};
use tfnas_report::{Comparison, Report};

use super::{Images, gather};

/// The page cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The output path is a folder.
    #[error("{} is a folder", path.display())]
    Folder { path: PathBuf },
    /// A file or a folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The run does not exist.
    #[error("there is no run {0}")]
    NoRun(RunId),
}

/// Writes the page of a report atomically.
pub fn write_page(report: &Report, path: &Path) -> Result<(), PageError> {
    write(path, &report.html())
}

/// Writes the page of several runs atomically.
pub fn write_comparison(comparison: &Comparison, path: &Path) -> Result<(), PageError> {
    write(path, &comparison.html())
}

/// Writes each figure and each table of a report to a folder, which is created if necessary. Returns the files.
pub fn write_figures(report: &Report, folder: &Path) -> Result<Vec<PathBuf>, PageError> {
    fs::create_dir_all(folder).map_err(|source| PageError::Write { path: folder.to_owned(), source })?;
    let written = report.files().into_iter().map(|file| {
        let path = folder.join(file.name);
        write(&path, &file.text).map(|()| path)
    });
    written.collect()
}

/// Writes the page of a run to the folder of reports in the store. Returns its path.
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
    fn folders_are_not_overwritten_and_the_folder_of_figures_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_page(&Report::default(), folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("is a folder"), "{error}");
        let files = write_figures(&Report::default(), &folder.path().join("a/b")).unwrap();
        assert!(files.iter().all(|file| file.is_file()));
        let error = write_page(&Report::default(), &folder.path().join("none/report.html")).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
    }
}
