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

// AllowAnonymous lets everybody do what the policy says, such as ask its DNS.
func (a *Agent) AllowAnonymous(policy string) {
	a.t.Helper()
	const anonymous = "00000000-0000-0000-0000-000000000002" // by Consul's documentation
	acl := a.Client(a.Token).ACL()
	made, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: strings.ToLower("p-" + rand.Text()), Rules: policy}, nil)
	if err == nil {
		_, _, err = acl.TokenUpdate(&api.ACLToken{AccessorID: anonymous, Policies: []*api.ACLLink{{ID: made.ID}}}, nil)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}
