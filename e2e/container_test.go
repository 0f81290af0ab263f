package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	networks "github.com/moby/moby/api/types/network"
	moby "github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/mongodb"
	"github.com/testcontainers/testcontainers-go/network"
)

const (
	imageUser    = 65532 // of deploy/Dockerfile
	databaseHost = "database"
	databasePort = "27017"
	standInData  = "/data"
	// mongoImage is the MongoDB that containers run on, where it can be had.
	mongoImage = "mongo:8.0"
	// askRegistry bounds the question whether an image can be had; pullWithin the pull once it can.
	askRegistry = 10 * time.Second
	pullWithin  = 10 * time.Minute
)

// containerRunner runs Writ's image, with the database beside it on a network of their own. Commands run on this machine.
type containerRunner struct {
	*processRunner
	docker  *testcontainers.DockerClient
	network *testcontainers.DockerNetwork
	image   string // Writ's
	standIn string // the stand-in's image, once built
	db      database

	mu     sync.Mutex
	places int
	images []string
	stages []string // of which the images were made
}

var builtStage = regexp.MustCompile(` ---> ([0-9a-f]{12})\b`)

// newContainerRunner builds the images and starts the database; on failure nothing of it is left.
func newContainerRunner(ctx context.Context, process *processRunner) (_ *containerRunner, err error) {
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil { // Close removes what was made
		return nil, err
	}
	log.SetDefault(log.NewNoopLogger())
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	if _, err := docker.Ping(ctx, moby.PingOptions{}); err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	r := &containerRunner{processRunner: process, docker: docker}
	defer func() {
		if err != nil {
			err = errors.Join(append([]error{err}, r.Close()...)...)
		}
	}()
	if r.network, err = network.New(ctx); err != nil {
		return nil, fmt.Errorf("make a network: %w", err)
	}
	if r.image, err = r.buildWrit(ctx); err != nil {
		return nil, err
	}
	if r.db, err = r.database(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (*containerRunner) Name() string { return "container" }

func (r *containerRunner) Close() []error {
	ctx := context.Background()
	var problems []error
	if r.network != nil {
		if err := r.network.Remove(ctx); err != nil {
			problems = append(problems, fmt.Errorf("remove the network: %w", err))
		}
	}
	for _, image := range r.images {
		if _, err := r.docker.ImageRemove(ctx, image, moby.ImageRemoveOptions{PruneChildren: true}); err != nil {
			problems = append(problems, fmt.Errorf("remove an image: %w", err))
		}
	}
	for _, stage := range slices.Backward(r.stages) {
		// Gone with the image, or shared with another: either way nothing is to be done.
		_, _ = r.docker.ImageRemove(ctx, stage, moby.ImageRemoveOptions{PruneChildren: true})
	}
	return append(problems, r.docker.Close())
}

// build makes an image from a directory with a Dockerfile.
func (r *containerRunner) build(ctx context.Context, name, dir string) (string, error) {
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return "", err
	}
	defer provider.Close()
	var said bytes.Buffer
	image, err := provider.BuildImage(ctx, &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		Context: dir, Repo: name, Tag: "e2e-" + suite.id, BuildLogWriter: &said,
	}})
	if err != nil {
		return "", fmt.Errorf("build the image %s: %w\n%s", name, err, said.String())
	}
	// The stages before the last have no name, and the engine keeps them; the last one comes first, so that they can go after it.
	r.images = append(r.images, image)
	for _, stage := range builtStage.FindAllStringSubmatch(said.String(), -1) {
		r.stages = append(r.stages, stage[1])
	}
	return image, nil
}

// linuxBinary is a build for the engine, which runs Linux on this machine's kind of processor.
func (r *containerRunner) linuxBinary(ctx context.Context, dir, name, module, pkg string, env ...string) error {
	return goBuild(ctx, module, filepath.Join(dir, name), pkg, append(env, "GOOS=linux", "GOARCH="+runtime.GOARCH)...)
}

// buildWrit fills the context that deploy/Dockerfile wants as `make image` does, but for the certificates, which no test needs.
func (r *containerRunner) buildWrit(ctx context.Context) (string, error) {
	dir := filepath.Join(r.work, "image")
	for _, keep := range []string{"data", "certs"} {
		if err := os.MkdirAll(filepath.Join(dir, keep), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, keep, ".keep"), nil, 0o644); err != nil {
			return "", err
		}
	}
	if err := r.linuxBinary(ctx, dir, "writ", "..", "./cmd/writ"); err != nil {
		return "", err
	}
	if err := copyFile("../deploy/Dockerfile", filepath.Join(dir, "Dockerfile")); err != nil {
		return "", err
	}
	return r.build(ctx, "writ", dir)
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

// database starts a real MongoDB where its image can be had, and the stand-in otherwise.
func (r *containerRunner) database(ctx context.Context) (database, error) {
	image := os.Getenv("E2E_MONGO_IMAGE")
	if image == "" {
		image = mongoImage
	}
	err := r.pull(ctx, image)
	if err == nil {
		return r.mongo(ctx, image)
	}
	if os.Getenv("E2E_MONGO_IMAGE") != "" {
		return nil, fmt.Errorf("E2E_MONGO_IMAGE: %w", err)
	}
	fmt.Fprintf(os.Stdout, "e2e: the image %s cannot be had, so the containers run on the stand-in: %v\n", image, err)
	return r.StandIn(ctx)
}

// pull makes an image present, unless the registry cannot even be asked about it.
func (r *containerRunner) pull(ctx context.Context, image string) error {
	if _, err := r.docker.ImageInspect(ctx, image); err == nil {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, askRegistry)
	defer cancel()
	if _, err := r.docker.DistributionInspect(asking, image, moby.DistributionInspectOptions{}); err != nil {
		return err
	}
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer provider.Close()
	pulling, cancel := context.WithTimeout(ctx, pullWithin)
	defer cancel()
	return provider.PullImage(pulling, image)
}

// mongo starts a MongoDB as a replica set of one.
func (r *containerRunner) mongo(ctx context.Context, image string) (database, error) {
	const set = "rs0"
	ctr, err := mongodb.Run(ctx, image, mongodb.WithReplicaSet(set), network.WithNetwork([]string{databaseHost}, r.network))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", image, err), remove(ctr))
	}
	ip, err := ctr.ContainerIP(ctx) // by which the module names the only member
	if err != nil {
		return nil, errors.Join(err, remove(ctr))
	}
	outside, err := ctr.PortEndpoint(ctx, databasePort+"/tcp", "")
	if err != nil {
		return nil, errors.Join(err, remove(ctr))
	}
	return &containerDatabase{
		runner: r, ctr: ctr, name: image, inside: net.JoinHostPort(ip, databasePort), outside: outside, set: set,
	}, nil
}

// StandIn starts the stand-in's image.
func (r *containerRunner) StandIn(ctx context.Context, flags ...string) (database, error) {
	if r.standIn == "" {
		dir := filepath.Join(r.work, "mongowire-image")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := r.linuxBinary(ctx, dir, "mongowire", "mongowire", "."); err != nil {
			return nil, err
		}
		if err := copyFile("mongowire/Dockerfile", filepath.Join(dir, "Dockerfile")); err != nil {
			return nil, err
		}
		image, err := r.build(ctx, "mongowire", dir)
		if err != nil {
			return nil, err
		}
		r.standIn = image
	}
	r.mu.Lock()
	r.places++
	host := fmt.Sprintf("%s-%d", databaseHost, r.places)
	r.mu.Unlock()
	outside, _, err := freePorts()
	if err != nil {
		return nil, err
	}
	inside := net.JoinHostPort(host, databasePort)
	ctr, err := testcontainers.Run(ctx, r.standIn,
		testcontainers.WithCmd(append([]string{
			"--listen", "0.0.0.0:" + databasePort, "--advertise", inside, "--set-name", standInSet, "--data", standInData,
		}, flags...)...),
		testcontainers.WithExposedPorts(databasePort+"/tcp"),
		testcontainers.WithHostConfigModifier(published(map[string]string{databasePort: outside})),
		testcontainers.WithNoStart(),
		network.WithNetwork([]string{host}, r.network),
	)
	if err == nil {
		err = r.put(ctx, ctr.ID, []string{standInData + "/"})
	}
	if err == nil {
		err = ctr.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the stand-in: %w", err), remove(ctr))
	}
	db := &containerDatabase{
		runner: r, ctr: ctr, name: "mongowire (stand-in)", inside: inside, outside: outside, set: standInSet, data: standInData,
	}
	if err := db.awaitListening(ctx); err != nil {
		return nil, errors.Join(append([]error{err}, db.close()...)...)
	}
	return db, nil
}

// published maps ports of a container to addresses of this machine, which stay the same when it is stopped and started.
func published(ports map[string]string) func(*container.HostConfig) {
	return func(c *container.HostConfig) {
		c.PortBindings = networks.PortMap{}
		for inside, outside := range ports {
			at := netip.MustParseAddrPort(outside)
			c.PortBindings[networks.MustParsePort(inside+"/tcp")] = []networks.PortBinding{
				{HostIP: at.Addr(), HostPort: fmt.Sprint(at.Port())},
			}
		}
	}
}

// remove removes a container with its volumes, whatever state it is in.
func remove(ctr testcontainers.Container) error {
	return testcontainers.TerminateContainer(ctr, testcontainers.StopTimeout(0))
}

// containerDatabase is a database in a container.
type containerDatabase struct {
	kept
	runner          *containerRunner
	ctr             testcontainers.Container
	name            string
	inside, outside string // addresses
	set             string
	starts          int    // of the stand-in, so far
	data            string // what of it can be searched: the stand-in's log; empty where it is compressed
}

func (d *containerDatabase) Describe() string { return d.name }

func (d *containerDatabase) uri(name string) string {
	d.note(name)
	return newURI(d.inside, name, "replicaSet="+d.set)
}

// local connects to the published port alone: the names in the replica set are those of the containers' network.
func (d *containerDatabase) local(name string) string {
	return newURI(d.outside, name, "directConnection=true")
}

func (d *containerDatabase) stop() error {
	within := stopWithin
	return d.ctr.Stop(context.Background(), &within)
}

func (d *containerDatabase) kill() error { return d.runner.kill(d.ctr.GetContainerID()) }

func (d *containerDatabase) start(ctx context.Context) error {
	if _, err := d.runner.docker.ContainerStart(ctx, d.ctr.GetContainerID(), moby.ContainerStartOptions{}); err != nil {
		return err
	}
	return d.awaitListening(ctx)
}

// awaitListening waits until the stand-in says, once more, that it listens.
func (d *containerDatabase) awaitListening(ctx context.Context) error {
	var out, errs string
	for deadline := time.Now().Add(readyWithin); time.Now().Before(deadline); time.Sleep(pollEvery) {
		state, err := d.ctr.State(ctx)
		if err != nil {
			return err
		}
		if out, errs, err = logs(ctx, d.runner.docker, d.ctr.GetContainerID()); err != nil {
			return err
		}
		if !state.Running {
			return fmt.Errorf("%s ended before it listened: %s", d.name, tail(errs))
		}
		if strings.Count(out, "mongowire listening on ") > d.starts {
			d.starts++
			return nil
		}
	}
	return fmt.Errorf("%s did not listen within %s: %s", d.name, readyWithin, tail(errs))
}

func (d *containerDatabase) close() []error {
	var problems []error
	if d.data == "" {
		fmt.Fprintf(os.Stdout, "e2e: what %s keeps was not searched for secrets: its files are compressed\n", d.name)
	} else {
		within := stopWithin
		if err := d.ctr.Stop(context.Background(), &within); err != nil {
			problems = append(problems, fmt.Errorf("stop %s: %w", d.name, err))
		}
		problems = append(problems, d.leaks()...)
	}
	return append(problems, remove(d.ctr))
}

// leaks brings the data out of the stopped container and searches it.
func (d *containerDatabase) leaks() []error {
	dir, err := d.runner.dir()
	if err != nil {
		return []error{err}
	}
	result, err := d.runner.docker.CopyFromContainer(context.Background(), d.ctr.GetContainerID(),
		moby.CopyFromContainerOptions{SourcePath: d.data})
	if err != nil {
		return []error{fmt.Errorf("bring out the data of %s: %w", d.name, err)}
	}
	defer result.Content.Close()
	files := 0
	for archive := tar.NewReader(result.Content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return []error{err}
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(archive)
		if err != nil {
			return []error{err}
		}
		files++
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(files)), b, 0o600); err != nil {
			return []error{err}
		}
	}
	if files == 0 {
		return []error{fmt.Errorf("%s kept no file in %s", d.name, d.data)}
	}
	return d.search(dir)
}

func (r *containerRunner) Start(ctx context.Context, o Options) (*Server, error) {
	return o.again(func() (*Server, error) { return r.start(ctx, o) })
}

func (r *containerRunner) start(ctx context.Context, o Options) (*Server, error) {
	l, err := o.prepare(r.dir, r.db)
	if err != nil {
		return nil, err
	}
	s := l.server
	if s.dev {
		return nil, errors.New("writ dev is for a machine, not for an image")
	}
	const public, admin = "8080", "8081"
	ports := map[string]string{public: l.public, admin: l.admin}
	l.env["WRIT_INSECURE_HTTP"], l.env["WRIT_DECISION_LOG"] = "true", "stdout"
	if o.Merged {
		delete(ports, admin)
		l.env["WRIT_LISTEN"], l.env["WRIT_ADMIN_LISTEN"] = ":"+public, ":"+public
	}
	if l.env["WRIT_ISSUER"] == "" {
		l.env["WRIT_ISSUER"] = s.Public
	}
	l.env["WRIT_MONGODB_URI"] = s.shares.db.uri(s.shares.name)
	s.decisionLogFile = s.stdout()
	run, err := r.run(ctx, containerSpec{
		image: r.image, args: l.args, env: l.env, ports: ports, stdout: s.stdout(), stderr: s.stderr(),
	})
	if err != nil {
		return nil, err
	}
	return s.begin(ctx, run)
}

// containerSpec is one start of Writ's image.
type containerSpec struct {
	image          string
	args           []string
	env            map[string]string
	ports          map[string]string // port inside -> address outside
	volume         string            // for /data, or empty
	stdout, stderr string            // files
}

// run starts a container. Directories of this machine that the arguments or variables name are mounted at the same place, files
// are copied there, as the image's user's own.
func (r *containerRunner) run(ctx context.Context, spec containerSpec) (*box, error) {
	var binds, files []string
	if spec.volume != "" {
		binds = append(binds, spec.volume+":/data")
	}
	named := append([]string{}, spec.args...)
	for _, value := range spec.env {
		named = append(named, value)
	}
	for _, path := range named {
		info, err := os.Stat(path)
		switch {
		case !filepath.IsAbs(path) || err != nil:
		case info.IsDir():
			binds = append(binds, path+":"+path+":ro")
		default:
			files = append(files, path)
		}
	}
	exposed := []string{}
	for port := range spec.ports {
		exposed = append(exposed, port+"/tcp")
	}
	ctr, err := testcontainers.Run(ctx, spec.image,
		testcontainers.WithCmd(spec.args...), testcontainers.WithEnv(spec.env), testcontainers.WithNoStart(),
		testcontainers.WithExposedPorts(exposed...),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			published(spec.ports)(c)
			c.Binds = binds
			c.LogConfig = keptLogs()
		}),
		network.WithNetwork(nil, r.network),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create a container: %w", err), remove(ctr))
	}
	b := &box{runner: r, ctr: ctr, ended: make(chan struct{}), stdout: spec.stdout, stderr: spec.stderr}
	err = r.put(ctx, ctr.ID, files)
	if err == nil {
		err = ctr.Start(ctx)
	}
	if err == nil {
		err = b.follow()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a container: %w", err), remove(ctr))
	}
	return b, nil
}

// keptLogs keeps all that a container writes, which the tests hold every decision to. An engine may be set to keep the last megabytes alone.
func keptLogs() container.LogConfig {
	return container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "4g", "max-file": "1"}}
}

// put copies files of this machine to the same places in a container, as the image's user's own. A name that ends in a slash is an
// empty directory.
func (r *containerRunner) put(ctx context.Context, id string, files []string) error {
	var content bytes.Buffer
	archive := tar.NewWriter(&content)
	for _, file := range files {
		if strings.HasSuffix(file, "/") {
			header := &tar.Header{Name: strings.TrimPrefix(file, "/"), Typeflag: tar.TypeDir, Mode: 0o700, Uid: imageUser, Gid: imageUser}
			if err := archive.WriteHeader(header); err != nil {
				return err
			}
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		header := &tar.Header{
			Name: strings.TrimPrefix(filepath.ToSlash(file), "/"), Mode: int64(info.Mode().Perm()), Size: int64(len(b)),
			Uid: imageUser, Gid: imageUser,
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(b); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil || len(files) == 0 {
		return err
	}
	_, err := r.docker.CopyToContainer(ctx, id, moby.CopyToContainerOptions{DestinationPath: "/", Content: &content})
	return err
}

func (r *containerRunner) kill(id string) error {
	_, err := r.docker.ContainerKill(context.Background(), id, moby.ContainerKillOptions{Signal: "KILL"})
	return err
}

// logs returns what a container wrote.
func logs(ctx context.Context, docker moby.APIClient, id string) (stdout, stderr string, err error) {
	stream, err := docker.ContainerLogs(ctx, id, moby.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return "", "", err
	}
	defer stream.Close()
	var out, errs bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &errs, stream)
	return out.String(), errs.String(), err
}

// box is an instance that is a container.
type box struct {
	runner         *containerRunner
	ctr            *testcontainers.DockerContainer
	ended          chan struct{}
	err            error
	stdout, stderr string // files
	before         [2]int64
	complete       bool // the files have all that it will ever write
}

// follow notes the container's end, and what the files hold from before its start.
func (b *box) follow() error {
	for i, file := range []string{b.stdout, b.stderr} {
		f, err := appendTo(file)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		b.before[i] = info.Size()
		if err := f.Close(); err != nil {
			return err
		}
	}
	wait := b.runner.docker.ContainerWait(context.Background(), b.ctr.ID,
		moby.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	go func() {
		defer close(b.ended)
		select {
		case b.err = <-wait.Error:
		case result := <-wait.Result:
			if result.StatusCode != 0 {
				b.err = fmt.Errorf("exit status %d", result.StatusCode)
			}
		}
	}()
	return nil
}

func (b *box) terminate() error {
	_, err := b.runner.docker.ContainerKill(context.Background(), b.ctr.ID, moby.ContainerKillOptions{Signal: "TERM"})
	select {
	case <-b.ended:
		return nil
	default:
		return err
	}
}

func (b *box) kill() error           { return b.runner.kill(b.ctr.ID) }
func (b *box) done() <-chan struct{} { return b.ended }
func (b *box) failure() error        { return b.err }

// collect writes the logs into the files, behind what an earlier container of the same server wrote.
func (b *box) collect() error {
	if b.complete {
		return nil
	}
	var last bool
	select {
	case <-b.ended:
		last = true
	default:
	}
	out, errs, err := logs(context.Background(), b.runner.docker, b.ctr.ID)
	if err != nil {
		return fmt.Errorf("read a container's logs: %w", err)
	}
	for i, text := range []string{out, errs} {
		file := []string{b.stdout, b.stderr}[i]
		if err := os.Truncate(file, b.before[i]); err != nil {
			return err
		}
		f, err := appendTo(file)
		if err != nil {
			return err
		}
		if _, err := f.WriteString(text); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	b.complete = last
	return nil
}

func (b *box) remove() error { return remove(b.ctr) }
