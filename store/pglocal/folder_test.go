package pglocal

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenFolder_AsRoot(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	if os.Geteuid() != 0 {
		t.Skip("only root moves data elsewhere")
	}
	bin, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	open := filepath.Dir(dataDir(t))
	closed := filepath.Join(open, "closed") // as the home of root
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(open, "elsewhere")
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))

	here, err := openFolder(filepath.Join(open, "a", "b"), elsewhere, bin, log)
	if err != nil || here.path != filepath.Join(open, "a", "b") || said.Len() > 0 {
		t.Fatalf("enterable folder: %v, error %v, said %q", here, err, &said)
	}
	if !here.switched || here.uid == 0 {
		t.Fatalf("Postgres would run as %+v", here.account)
	}

	requested := filepath.Join(closed, "a", "b")
	there, err := openFolder(requested, elsewhere, bin, log)
	if err != nil || filepath.Dir(there.path) != elsewhere {
		t.Fatalf("closed folder: %v, error %v", there, err)
	}
	if !strings.Contains(said.String(), requested) || !strings.Contains(said.String(), there.path) {
		t.Errorf("the log does not tell where the data lies: %q", &said)
	}
	if exists(filepath.Join(closed, "a")) {
		t.Error("an unused folder was made")
	}
	if !there.canEnter(bin, there.path) {
		t.Error("the substitute cannot be entered either")
	}

	// Data made there is found again, even when the folder could be used now.
	if err := os.Mkdir(there.cluster(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o711); err != nil {
		t.Fatal(err)
	}
	again, err := openFolder(requested, elsewhere, bin, log)
	if err != nil || again.path != there.path {
		t.Fatalf("second time: %v, error %v, want %s", again, err, there.path)
	}
}

func TestOpenFolder_RunsAsTheOwnerOfItsData(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	dir := dataDir(t)
	cluster := filepath.Join(dir, "data")
	if err := os.MkdirAll(cluster, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(cluster, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	bin, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFolder(dir, t.TempDir(), bin, slog.New(slog.DiscardHandler))
	if err != nil || f.path != dir || f.uid != 65534 {
		t.Fatalf("folder %+v, error %v", f, err)
	}
}
