//! A disk that can be filled: a small file system of a Postgres of its own, which goes when its server does; or, for who may
//! mount none, a limit on the size of files.
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::pids::family;
use xtask::servers::Postgres;

/// Room for a cluster, and a little more.
const SIZE: &str = "size=144m,mode=0755";

/// Files may not grow beyond this where no disk can be filled.
const LIMIT: &str = "65536";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    Small,
    Limited,
}

fn done(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Moves the cluster of this folder to a small file system, if one can be mounted. It is nowhere in the tree afterwards:
/// the server finds it by its working directory, and nothing is left when the server has ended.
pub fn move_to_small_disk(postgres: &mut Postgres, dir: &Path) -> Disk {
    let (cluster, before) = (dir.join("cluster"), dir.join("cluster-before"));
    let (at, from) = (cluster.to_str().unwrap(), format!("{}/.", before.display()));
    postgres.stop();
    std::fs::rename(&cluster, &before).unwrap();
    std::fs::create_dir(&cluster).unwrap();
    if !done("mount", &["-t", "tmpfs", "-o", SIZE, "tmpfs", at]) {
        std::fs::remove_dir(&cluster).unwrap();
        std::fs::rename(&before, &cluster).unwrap();
        postgres.start_again().unwrap();
        return Disk::Limited;
    }
    let copied = done("cp", &["-a", &from, at]);
    let started = postgres.start_again();
    assert!(done("umount", &["--lazy", at]), "the small file system stays mounted at {at}");
    assert!(copied, "the cluster does not fit into {SIZE}");
    started.unwrap();
    Disk::Small
}

fn ballast(postgres: &mut Postgres) -> PathBuf {
    PathBuf::from(format!("/proc/{}/cwd/ballast", postgres.pid().unwrap()))
}

pub fn fill(postgres: &mut Postgres, disk: Disk) {
    match disk {
        Disk::Small => {
            let mut file = File::create(ballast(postgres)).unwrap();
            for block in [1 << 20, 1 << 12, 1] {
                while file.write_all(&vec![0; block]).is_ok() {}
            }
        }
        Disk::Limited => {
            let fsize = format!("--fsize={LIMIT}");
            for pid in family(postgres.pid().unwrap()) {
                // One that has ended by now needs no limit.
                done("prlimit", &["--pid", &pid.to_string(), &fsize]);
            }
        }
    }
}

pub fn empty(postgres: &mut Postgres, disk: Disk) {
    match disk {
        Disk::Small if postgres.pid().is_some() => std::fs::remove_file(ballast(postgres)).unwrap(),
        Disk::Small => panic!("the server did not outlive its full disk: its data went with it"),
        // An operator gives it room and starts it again.
        Disk::Limited => postgres.start_again().unwrap(),
    }
}
