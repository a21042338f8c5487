// What the website's server does, as a page of its own: the chats of all systems.

import { Crm } from "./crm.js";
import { byId } from "./dom.js";

new Crm(byId("crm"), 10).connect(`ws://${location.host}/crm/feed`);
