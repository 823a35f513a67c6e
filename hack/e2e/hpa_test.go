//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/hpa"
	"github.com/tidegate/tidegate/internal/hpa/answers"
	"github.com/tidegate/tidegate/internal/keys"
)

// hpaCase is one HPA that is asked again and again: at each look it is told the next value, and the last one to the end.
type hpaCase struct {
	name   string
	began  int
	spec   hpa.Spec
	target float64
	// values are told look by look; a negative one is a metric that cannot be read. The first keeps what is there.
	values []float64
	looks  int
}

// within is a behavior of one policy, whose period is no multiple of the 15 seconds between two looks: what happens at the
// very edge of a period is chance.
func within(unit hpa.Unit, value int, period time.Duration) hpa.Rules {
	return hpa.Rules{Policies: []hpa.Policy{{Unit: unit, Value: value, Period: period}}}
}

// free lets every step pass.
func free() hpa.Rules { return within(hpa.Percent, 1000, 10*time.Second) }

// hpaCases are small steps through all that decides a count.
func hpaCases() []hpaCase {
	tolerant, lazyUp, lazyDown := free(), free(), within(hpa.Percent, 100, 10*time.Second)
	tolerant.Tolerance, lazyUp.Stabilization, lazyDown.Stabilization = 0.1, 50*time.Second, 50*time.Second
	freeDown := within(hpa.Percent, 100, 10*time.Second)
	tolerantDown := freeDown
	tolerantDown.Tolerance = 0.1
	most := hpa.Rules{Policies: []hpa.Policy{{Unit: hpa.Pods, Value: 1, Period: 40 * time.Second}, {Unit: hpa.Percent, Value: 50, Period: 40 * time.Second}}}
	least, off := most, free()
	least.Select, off.Select = hpa.SelectMin, hpa.Disabled
	wide := func(up, down hpa.Rules) hpa.Spec { return hpa.Spec{Min: 1, Max: 100, Up: up, Down: down} }
	return []hpaCase{
		{"a tenth is tolerated, both ways", 10, wide(tolerant, tolerantDown), 1, []float64{10, 11, 9, 12, 12, 10.8, 10}, 8},
		{"twenty, a tenth is tolerated", 20, wide(tolerant, tolerantDown), 1, []float64{20, 22, 18, 23, 23, 20}, 7},
		{"no tolerance", 20, wide(free(), freeDown), 1, []float64{20, 21, 21, 20, 19, 19.001}, 7},
		{"a target of two and a half", 10, wide(free(), freeDown), 2.5, []float64{25, 25.1, 27.5, 24.9, 2.5}, 6},
		{"a tenth of a target of two and a half", 10, wide(tolerant, tolerantDown), 2.5, []float64{25, 27.5, 27.6, 25, 24.7}, 6},
		{"the default behavior, small", 2, wide(hpa.DefaultUp(), hpa.DefaultDown()), 1, []float64{2, 7}, 2},
		{"the default behavior, larger, and then quiet", 10, wide(hpa.DefaultUp(), hpa.DefaultDown()), 1, []float64{10, 18, 9, 9}, 5},
		{"the shipped behavior out", 2, hpa.Shipped(2, 50), 1, []float64{2, 14}, 2},
		{"the shipped behavior in", 12, hpa.Shipped(2, 50), 1, []float64{12, 3}, 2},
		{"two pods out in 40 s", 4, wide(within(hpa.Pods, 2, 40*time.Second), freeDown), 1, []float64{4, 20}, 9},
		{"half out in 40 s", 4, wide(within(hpa.Percent, 50, 40*time.Second), freeDown), 1, []float64{4, 30}, 9},
		{"one pod or half out, the larger", 5, wide(most, freeDown), 1, []float64{5, 30}, 9},
		{"one pod or half out, the smaller", 5, wide(least, freeDown), 1, []float64{5, 30}, 9},
		{"three pods in in 40 s", 15, wide(free(), within(hpa.Pods, 3, 40*time.Second)), 1, []float64{15, 4}, 9},
		{"a third in in 50 s", 15, wide(free(), within(hpa.Percent, 33, 50*time.Second)), 1, []float64{15, 2}, 9},
		{"in waits for 50 s of calm", 10, wide(free(), lazyDown), 1, []float64{10, 6, 6, 8, 6, 5, 5, 5, 5, 5}, 11},
		{"out waits for 50 s of need", 4, wide(lazyUp, freeDown), 1, []float64{4, 12, 9, 12, 12, 12, 12}, 8},
		{"out and in again within a period", 6, wide(free(), within(hpa.Pods, 2, 40*time.Second)), 1, []float64{6, 9, 3}, 9},
		{"no way out", 4, wide(off, freeDown), 1, []float64{4, 9, 3}, 4},
		{"no way in", 6, wide(free(), off), 1, []float64{6, 3, 8}, 4},
		{"the most", 4, hpa.Spec{Min: 2, Max: 8, Up: free(), Down: freeDown}, 1, []float64{4, 12}, 3},
		{"the fewest", 4, hpa.Spec{Min: 3, Max: 8, Up: free(), Down: freeDown}, 1, []float64{4, 1}, 3},
		{"nothing can be read", 6, wide(free(), freeDown), 1, []float64{6, -1, -1, 9}, 5},
		{"nothing is left", 3, wide(free(), freeDown), 1, []float64{3, 0}, 3},
	}
}

// A real HPA, asked through a real KEDA, answers as package hpa does: what the simulator's rows and the demo's stand-in rest
// on. The table is kept in the artifacts, for the package's own test.
func TestFullHPAAnswers(t *testing.T) {
	oracle := newOracle(t, town.cluster)
	cases := hpaCases()
	tables := make([][]answers.Row, len(cases))
	var asking sync.WaitGroup
	for i, c := range cases {
		asking.Go(func() { tables[i] = oracle.ask(t, c) })
	}
	asking.Wait()
	var rows []answers.Row
	for _, table := range tables {
		rows = append(rows, table...)
	}
	path := town.settings.below(town.settings.artifacts, "recorded.csv")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(answers.Write(file, rows), file.Close()); err != nil {
		t.Fatal(err)
	}
	town.figures.note("HPA: looks recorded in "+path, len(rows))
	if err := answers.Check(rows); err != nil {
		t.Errorf("package hpa answers otherwise than the HPA:\n%v", err)
	}
}

// oracle tells KEDA's metrics-api trigger what each case's HPA is to hear.
type oracle struct {
	c       *cluster
	address string

	mu    sync.Mutex
	asked map[string]*questioning
}

// questioning is a case under way. Its rows are the looks so far, each without its answer until the next.
type questioning struct {
	mu sync.Mutex
	hpaCase
	band  *band
	open  bool // the HPA looks: what came before was KEDA itself
	first time.Time
	last  time.Time
	rows  []answers.Row
	err   error
}

func newOracle(t *testing.T, c *cluster) *oracle {
	t.Helper()
	o := &oracle{c: c, asked: map[string]*questioning{}}
	o.address = c.answerKEDA(t, o)
	return o
}

// ask runs a case and returns its rows.
func (o *oracle) ask(t *testing.T, c hpaCase) []answers.Row {
	t.Helper()
	b := &band{c: o.c, id: fleet.ID{Namespace: namespace, Name: fresh("hpa")}}
	q := &questioning{hpaCase: c, band: b}
	o.mu.Lock()
	o.asked[b.id.Name] = q
	o.mu.Unlock()
	t.Cleanup(func() { b.remove(t) })
	// The pods stay pending: the HPA counts what exists, for a metric of this type.
	p := plan{min: int64(c.spec.Min), max: int64(c.spec.Max), spec: o.scales(b.id.Name, c), deployment: func(d *appsv1.Deployment) {
		d.Spec.Replicas = new(int32(c.began))
		delete(d.Spec.Template.Labels, keys.LabelInject)
	}}
	b.create(t, b.cast("nobody", p))
	eventually(t, time.Minute, "the pods are there", func() error {
		scale, err := b.scaleNow(t.Context())
		if err == nil && scale.Status != c.began {
			err = fmt.Errorf("%d of %d are", scale.Status, c.began)
		}
		return err
	})
	b.scaledObject(t, p)
	eventually(t, 3*time.Minute, "the HPA looks", func() error { return b.looked(t.Context()) })
	q.mu.Lock()
	q.open = true
	q.mu.Unlock()
	eventually(t, time.Duration(c.looks+4)*20*time.Second, fmt.Sprintf("the HPA looks %d times", c.looks), q.over)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		t.Fatalf("%s: %v", q.name, q.err)
	}
	return q.rows[:q.looks]
}

// looked says that the HPA has read its metric once.
func (b *band) looked(ctx context.Context) error {
	list, err := b.c.kube.AutoscalingV2().HorizontalPodAutoscalers(b.id.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		if h := &list.Items[i]; h.Spec.ScaleTargetRef.Name == b.id.Name && len(h.Status.CurrentMetrics) > 0 && h.Status.CurrentMetrics[0].External != nil {
			return nil
		}
	}
	return fmt.Errorf("the HPA of %s has read nothing yet", b.id)
}

func (b *band) scaleNow(ctx context.Context) (hpa.Scale, error) {
	scale, err := b.c.kube.AppsV1().Deployments(b.id.Namespace).GetScale(ctx, b.id.Name, metav1.GetOptions{})
	if err != nil {
		return hpa.Scale{}, err
	}
	return hpa.Scale{Spec: int(scale.Spec.Replicas), Status: int(scale.Status.Replicas)}, nil
}

// sameLook is how long after a question another one still belongs to the same look: KEDA asks again where none was answered.
const sameLook = 5 * time.Second

// ServeHTTP answers a question of KEDA, which is one of the HPA's looks.
func (o *oracle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	q := o.asked[r.URL.Query().Get("case")]
	o.mu.Unlock()
	if q == nil {
		http.NotFound(w, r)
		return
	}
	value := q.look(r.Context())
	if value < 0 {
		http.Error(w, "this metric cannot be read, as the case wants it", http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprintf(w, `{"value": %s}`, strconv.FormatFloat(value, 'f', -1, 64)) // KEDA asks again
}

// look notes what the HPA found and returns what it is told.
func (q *questioning) look(ctx context.Context) float64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	value := q.values[max(0, min(len(q.rows), len(q.values))-1)]
	if !q.open || now.Sub(q.last) < sameLook {
		return value
	}
	scale, err := q.band.scaleNow(ctx)
	if err != nil {
		q.err = err
		return -1
	}
	if n := len(q.rows); n > 0 {
		q.rows[n-1].Answer = scale.Spec
	} else {
		q.first = now
	}
	q.last = now
	value = q.values[min(len(q.rows), len(q.values)-1)]
	metric := hpa.Metric{Value: hpa.MilliOf(value), Target: hpa.MilliOf(q.target)}
	if value < 0 {
		metric = answers.Unread(metric.Target)
	}
	q.rows = append(q.rows, answers.Row{Case: q.name, At: now.Sub(q.first), Scale: scale, HPA: q.spec, Metric: metric})
	return value
}

// over says that the looks were all answered: the last one only serves to tell the answer of the one before.
func (q *questioning) over() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil && len(q.rows) <= q.looks {
		return fmt.Errorf("%s: %d looks so far", q.name, len(q.rows))
	}
	return nil
}

// scales makes the ScaledObject of a case: one metrics-api trigger, the case's behavior, and nothing of the shipped one.
func (o *oracle) scales(name string, c hpaCase) func(map[string]any) {
	return func(spec map[string]any) {
		delete(spec, "fallback")
		spec["pollingInterval"] = int64(3600) // KEDA itself is to ask as rarely as it may
		spec["advanced"] = map[string]any{"horizontalPodAutoscalerConfig": map[string]any{
			"behavior": map[string]any{"scaleUp": behavior(c.spec.Up), "scaleDown": behavior(c.spec.Down)},
		}}
		spec["triggers"] = []any{map[string]any{
			"type": "metrics-api",
			"metadata": map[string]any{
				"url": "http://" + o.address + "/?case=" + name, "valueLocation": "value",
				"targetValue": strconv.FormatFloat(c.target, 'f', -1, 64),
			},
		}}
	}
}

// behavior are the rules as Kubernetes writes them.
func behavior(r hpa.Rules) map[string]any {
	policies := make([]any, 0, len(r.Policies))
	for _, p := range r.Policies {
		policies = append(policies, map[string]any{"type": answers.UnitName(p.Unit), "value": int64(p.Value), "periodSeconds": int64(p.Period / time.Second)})
	}
	return map[string]any{
		"tolerance": strconv.FormatFloat(r.Tolerance, 'f', -1, 64), "stabilizationWindowSeconds": int64(r.Stabilization / time.Second),
		"selectPolicy": answers.SelectName(r.Select), "policies": policies,
	}
}
