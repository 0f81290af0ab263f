package e2e

import (
	"context"
	"testing"
	"time"

	moby "github.com/moby/moby/client"
)

// imageOf leaves a test out where there are no containers.
func imageOf(t *testing.T) *containerRunner {
	t.Helper()
	r, ok := suite.runner.(*containerRunner)
	leftOut(t, !ok, "it is about the image: E2E_RUNNER=container runs it")
	return r
}

// TestTheImageServesOnTheEmbeddedStore starts the image with nothing but a volume, as an operator would, twice.
func TestTheImageServesOnTheEmbeddedStore(t *testing.T) {
	r := imageOf(t)
	ctx := context.WithoutCancel(t.Context())
	volume := unique("writ-e2e-" + suite.id)
	if _, err := r.docker.VolumeCreate(ctx, moby.VolumeCreateOptions{Name: volume}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := r.docker.VolumeRemove(ctx, volume, moby.VolumeRemoveOptions{}); err != nil {
			t.Error(err)
		}
	})
	var a app
	var first *Server
	for _, name := range []string{"the first start", "the second start"} {
		l, err := Options{From: first}.prepare(r.dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := l.server
		s.decisionLogFile = s.stdout()
		run, err := r.run(ctx, containerSpec{
			image: r.image, volume: volume, ports: map[string]string{"8080": l.public, "8081": l.admin},
			env: map[string]string{
				"WRIT_INSECURE_HTTP": "true", "WRIT_ISSUER": s.Public, "WRIT_BOOTSTRAP_SECRET": s.Secret,
			},
			stdout: s.stdout(), stderr: s.stderr(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.begin(ctx, run); err != nil {
			t.Fatal(err)
		}
		held(t, s)
		c := story(t, s)
		c.step(name)
		if first == nil {
			first, a = s, c.root().newApp(object{})
			r.wantImage(t, run.ctr.ID)
		}
		c.token(a)
		c.done()
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// wantImage demands what the image promises: no root, its own health check, two ports and nothing but what it needs.
func (r *containerRunner) wantImage(t *testing.T, id string) {
	t.Helper()
	deadline := time.Now().Add(readyWithin)
	for {
		result, err := r.docker.ContainerInspect(t.Context(), id, moby.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		about := result.Container
		if about.Config.User != "65532:65532" || len(about.Config.ExposedPorts) != 2 || about.Config.Volumes == nil {
			t.Fatalf("user %s, ports %v, volumes %v", about.Config.User, about.Config.ExposedPorts, about.Config.Volumes)
		}
		health := about.State.Health
		if health != nil && health.Status == "healthy" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not healthy within %s: %+v", readyWithin, health)
		}
		time.Sleep(pollEvery)
	}
	image, err := r.docker.ImageInspect(t.Context(), r.image)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the image has %d MB in %d layers", image.Size>>20, len(image.RootFS.Layers))
	if image.Size > 80<<20 {
		t.Errorf("the image has %d MB, want no more than the binary and little else", image.Size>>20)
	}
}
