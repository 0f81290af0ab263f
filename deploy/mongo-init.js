// Makes the replica set and the user of Writ; running it again changes nothing. It connects to the one member directly, because
// there is no primary to be found before.
const fs = require("fs");
const secret = (name) => fs.readFileSync("/run/secrets/" + name, "utf8").trim();

const admin = connect("mongodb://mongo:27017/admin?directConnection=true");
admin.auth("root", secret("mongo_root_password"));
try {
  admin.adminCommand({ replSetGetStatus: 1 });
} catch (notYet) {
  admin.adminCommand({ replSetInitiate: { _id: "rs0", members: [{ _id: 0, host: "mongo:27017" }] } });
}
while (!admin.hello().isWritablePrimary) {
  sleep(200);
}
const writ = admin.getSiblingDB("writ");
if (writ.getUser("writ") === null) {
  writ.createUser({ user: "writ", pwd: secret("mongo_writ_password"), roles: [{ role: "readWrite", db: "writ" }] });
}
