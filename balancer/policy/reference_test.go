package policy_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/balancer/policy"
)

var update = flag.Bool("update", false, "write docs/policy.md anew")

const reference = "../../docs/policy.md"

func TestTheReferenceInTheDocsIsTheOneOfTheCode(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Policy reference\n\n<!-- Written from the policy struct: go test ./balancer/policy -run Reference -update -->\n")
	section := func(title string, trigger bool) {
		fmt.Fprintf(&b, "\n## %s\n\n| setting | default | unit | accepts | what it does |\n|---|---|---|---|---|\n", title)
		for _, s := range policy.Reference() {
			if s.Trigger == trigger {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Default, s.Unit, s.Accepts, s.Help)
			}
		}
	}
	section("In the trigger's metadata, or in the policy file", true)
	section("In the policy file only", false)
	if *update {
		if err := os.WriteFile(reference, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != b.String() {
		t.Errorf("docs/policy.md is not what the code does: run this test with -update")
	}
}
