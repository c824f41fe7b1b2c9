//! Determines how many CPUs this process may use: its affinity (`taskset`, cpusets) and the quota of its cgroups
//! (containers, `systemd` units).

use std::fmt;
use std::path::{Path, PathBuf};

/// The CPU limits of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuLimit {
    /// Number of CPUs in the affinity of the process.
    pub affinity: usize,
    /// Number of CPUs of the machine.
    pub online: usize,
    /// CPU time per second that the cgroups allow, if limited. 1.5 means one and a half CPUs.
    pub quota: Option<f64>,
}

impl CpuLimit {
    /// Reads the limits of this process.
    pub fn of_process() -> Self {
        let file = |path: &Path| std::fs::read_to_string(path).ok();
        let text = |path: &str| file(Path::new(path)).unwrap_or_default();
        let fallback = || std::thread::available_parallelism().map_or(1, Into::into);
        let affinity = allowed(&text("/proc/self/status")).unwrap_or_else(fallback);
        let is_cpu = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
        let online = text("/proc/stat").lines().filter(is_cpu).count();
        let quota = quota(&text("/proc/self/cgroup"), &text("/proc/self/mountinfo"), &file);
        Self { affinity, online: online.max(affinity), quota }
    }

    /// Returns how many threads can compute at the same time; at least 1. Fractions of a CPU are rounded up.
    pub fn cores(&self) -> usize {
        let allowed = self.quota.map_or(usize::MAX, |quota| quota.ceil() as usize);
        self.affinity.min(allowed).max(1)
    }
}

impl fmt::Display for CpuLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = self.cores();
        write!(f, "{cores} {}", if cores == 1 { "core" } else { "cores" })?;
        if self.affinity < self.online {
            write!(f, ", affinity {} of {} CPUs", self.affinity, self.online)?;
        }
        self.quota.map_or(Ok(()), |quota| write!(f, ", quota {quota:.2} CPUs"))
    }
}

/// Returns the number of CPUs in the affinity from `/proc/self/status`: `Cpus_allowed_list: 0-3,6`.
fn allowed(status: &str) -> Option<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let counts = list.trim().split(',').map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first).map(|between| between + 1)
    });
    counts.sum::<Option<usize>>().filter(|count| *count > 0)
}

/// Returns the smallest quota of the cgroups in `/proc/self/cgroup` and of their ancestors.
///
/// * `groups`: contents of `/proc/self/cgroup`.
/// * `mounts`: contents of `/proc/self/mountinfo`.
/// * `read`: returns the text of a file.
fn quota(groups: &str, mounts: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<f64> {
    let mut smallest: Option<f64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let is_v2 = controllers.is_empty();
        if !is_v2 && !controllers.split(',').any(|name| name == "cpu") {
            continue;
        }
        let Some((mount, below)) = place(mounts, is_v2, group) else { continue };
        let of_folder = |folder: &Path| if is_v2 { v2_quota(folder, read) } else { v1_quota(folder, read) };
        let folder = mount.join(below);
        let folders = folder.ancestors().take_while(|folder| folder.starts_with(&mount));
        smallest = folders.filter_map(of_folder).chain(smallest).min_by(f64::total_cmp);
    }
    smallest
}

/// Returns the mount point of a cgroup hierarchy, and the path of the cgroup below it.
fn place(mounts: &str, is_v2: bool, group: &str) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        // 36 35 98:0 /root /mount/point options - type source super-options
        let (front, back) = line.split_once(" - ")?;
        let mut back = back.split(' ');
        let (kind, options) = (back.next()?, back.nth(1)?);
        let fits = if is_v2 { kind == "cgroup2" } else { kind == "cgroup" && options.split(',').any(|it| it == "cpu") };
        let mut front = front.split(' ').skip(3);
        let (root, mount) = (front.next()?, front.next()?);
        // In a container, the root of the mount may be the container's own cgroup.
        let below = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
        fits.then(|| (PathBuf::from(mount), below.to_owned()))
    })
}

/// Reads `cpu.max`: a quota, or `max`, and a period, both in microseconds.
fn v2_quota(folder: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<f64> {
    let text = read(&folder.join("cpu.max"))?;
    let mut words = text.split_whitespace();
    ratio(words.next()?, words.next()?)
}

/// Reads `cpu.cfs_quota_us`, which is -1 without a limit, and `cpu.cfs_period_us`.
fn v1_quota(folder: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<f64> {
    ratio(&read(&folder.join("cpu.cfs_quota_us"))?, &read(&folder.join("cpu.cfs_period_us"))?)
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/cpuset rw,relatime shared:16 - cgroup cgroup rw,cpuset
";

    fn found(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Option<f64> {
        let read =
            |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned());
        quota(groups, mounts, &read)
    }

    #[test]
    fn cpus_of_the_affinity_are_counted() {
        assert_eq!(allowed("Cpus_allowed:\tff\nCpus_allowed_list:\t0-3,6,8-9\nMems_allowed:\t1\n"), Some(7));
        assert_eq!(allowed("Cpus_allowed_list:\t5\n"), Some(1));
        assert_eq!([allowed(""), allowed("Cpus_allowed_list:\t3-1\n"), allowed("Cpus_allowed_list:\tx\n")], [None; 3]);
    }

    #[test]
    fn the_smallest_quota_of_nested_cgroups_applies() {
        let files = [
            ("/sys/fs/cgroup/unified/a/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/unified/a/b/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/unified/a/b/c/cpu.max", "400000 100000\n"),
        ];
        assert_eq!(found("0::/a/b/c\n", MOUNTS, &files), Some(1.5));
        assert_eq!(found("0::/\n", MOUNTS, &files), None);
    }

    #[test]
    fn cgroups_v1_are_read() {
        let files = [
            ("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "50000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(found("5:cpuset:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/docker/1\n", MOUNTS, &files), Some(0.5));
    }

    #[test]
    fn a_container_whose_cgroup_is_the_root_finds_its_quota() {
        let mounts = "33 30 0:29 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let files = [("/sys/fs/cgroup/cpu.max", "250000 100000")];
        assert_eq!(found("0::/docker/1\n", mounts, &files), Some(2.5));
        assert_eq!(found("0::/\n", mounts, &files), Some(2.5));
    }

    #[test]
    fn cores_are_rounded_up_and_at_least_one() {
        let cores = |affinity, quota| CpuLimit { affinity, online: 8, quota }.cores();
        assert_eq!(
            [cores(8, None), cores(2, None), cores(8, Some(1.5)), cores(8, Some(0.1)), cores(2, Some(6.0))],
            [8, 2, 2, 1, 2]
        );
    }

    #[test]
    fn the_text_names_the_limits() {
        let limit = CpuLimit { affinity: 4, online: 8, quota: Some(1.5) };
        assert_eq!(limit.to_string(), "2 cores, affinity 4 of 8 CPUs, quota 1.50 CPUs");
        assert_eq!(CpuLimit { affinity: 1, online: 1, quota: None }.to_string(), "1 core");
    }
}
