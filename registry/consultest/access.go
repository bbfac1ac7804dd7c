package consultest

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

// Policy is the text of a policy that the product documents; the path begins at the top of the module.
func Policy(t testing.TB, path string) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the folder of the sources is not known")
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "..", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Grant makes a token that is allowed what the policies say, and nothing else. It may be used at once.
func (a *Agent) Grant(policies ...string) (token string) {
	a.t.Helper()
	acl := a.Client(a.Token).ACL()
	policy, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: strings.ToLower("p-" + rand.Text()), Rules: strings.Join(policies, "\n")}, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	made, _, err := acl.TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return made.SecretID
}

// Revoke takes a token back.
func (a *Agent) Revoke(token string) {
	a.t.Helper()
	acl := a.Client(a.Token).ACL()
	self, _, err := acl.TokenReadSelf(&api.QueryOptions{Token: token})
	if err == nil {
		_, err = acl.TokenDelete(self.AccessorID, nil)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}
