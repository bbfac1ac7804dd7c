package pglocal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is the operating system user that Postgres runs as.
type account struct {
	uid, gid uint32
	switched bool // another one than ours: only root can do that
}

// chooseAccount returns our own account, unless we are root, which Postgres
// refuses: then the owner of an existing cluster, else "postgres", else "nobody".
func chooseAccount(cluster string) (account, error) {
	own := account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	owner, exists, err := ownerOf(cluster)
	if err != nil {
		return account{}, err
	}
	if own.uid != 0 {
		if exists && owner.uid != own.uid {
			return account{}, fmt.Errorf("%s belongs to user %d, and this is user %d: run as that user or as root, or choose another data folder", cluster, owner.uid, own.uid)
		}
		return own, nil
	}
	if exists && owner.uid != 0 {
		return account{uid: owner.uid, gid: owner.gid, switched: true}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return account{uid: uint32(uid), gid: uint32(gid), switched: true}, nil
		}
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: run as another user")
}

func ownerOf(path string) (owner account, exists bool, err error) {
	info, err := os.Lstat(path)
	if os.IsNotExist(err) {
		return account{}, false, nil
	}
	if err != nil {
		return account{}, false, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return account{}, false, fmt.Errorf("owner of %s is unknown", path)
	}
	return account{uid: stat.Uid, gid: stat.Gid}, true, nil
}

// canEnter tells whether the account may work in dir. It asks the kernel by
// really going there, because mode bits do not tell the whole truth (ACLs,
// mounts, security modules).
func (a account) canEnter(bin Binaries, dir string) bool {
	cmd := exec.Command(bin.path("postgres"), "--version")
	cmd.Dir = dir
	cmd.SysProcAttr = childAttributes(a, syscall.SIGKILL)
	return runChild(cmd) == nil
}

// give makes the account the owner of path.
func (a account) give(path string) error {
	if !a.switched {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}
