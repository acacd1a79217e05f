"""The commonest words of languages: they say which language a text is in and are not worth searching for."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# by ISO 639-1 code, those in the Latin script; prepositions, articles, pronouns, auxiliaries and question words only
FUNCTION_WORDS = {
    "en": _words(
        """a about an and any are as at be been but by can could did do does for from had has have he her his how i if
        in into is it its me my no not of on or our out s she should so such than that the their them then there these
        they this those to up was we were what when where which who whom whose why will with would you your"""
    ),
    "de": _words(
        """aber als am an auch auf aus bei bis da das dass daß dem den der des die diese diesem diesen dieser dieses
        durch ein eine einem einen einer eines er es für gegen hat hatte hatten haben ich ihr ihre ihrem ihren ihrer im
        in ins ist kann können man mehr mit nach nicht noch nur ob oder sein seine seinem seinen seiner sich sie sind so
        um und unter vom von vor wann war waren warum was welche welchem welchen welcher welches wem wen wenn wer werden
        wessen wie wir wird wo wurde wurden während zu zum zur über"""
    ),
    "fr": _words(
        """a au aux avec c ce ces cette comment comme d dans de des donc du elle elles en entre est et eu était étaient
        être fait il ils j je l la le les leur leurs lui m mais me n ne nous on ont ou où par pas plus pour pourquoi
        qu quand que quel quelle quelles quels qui quoi s sa sans se ses si son sont sous sur t te un une vous y à"""
    ),
    "es": _words(
        """a al como con cual cuando cuál cuáles cuándo cuánta cuántas cuánto cuántos cómo de del desde donde dónde e el
        ella ellas ellos en entre era eran es esa ese eso esta estaba este esto estos está están fue fueron ha hasta han
        hay la las le les lo los me mi muy más ni no nos o para pero por porque que quién quiénes qué se ser si sin
        sobre son su sus sí también te tu u un una unas uno unos y ya"""
    ),
    "it": _words(
        """a ad agli ai al alla alle allo anche c che chi ci come con cosa cui d da dagli dai dal dalla dalle dei del
        della delle dello di dove e ed era erano fu gli ha hanno i il in io l la le lo loro ma mi negli nei nel nella
        nelle nello non o per perché più qual quale quali quando quanti quanto questa queste questi questo se si sono
        su sua sue sugli sui sul sulla suo suoi tra un una uno è"""
    ),
    "pt": _words(
        """a ao aos as com como da das de do dos e ela elas ele eles em entre era eram essa esse esta este eu foi foram
        há isso já lhe mais mas me muito na nas no nos não o onde os ou para pela pelas pelo pelos por porque qual quais
        quando quanto quantos que quem se sem ser seu seus sua suas são também te tem um uma umas uns à às é"""
    ),
    "nl": _words(
        """aan al als bij dat de den der deze die dit door een en er had hebben heeft het hij hoe hoeveel hun ik in is
        je kan maar me meer met mijn na naar niet nog of om omdat onder ons ook op over te tot uit van voor waar waarom
        wanneer waren was wat we welke werd werden wie wordt worden ze zich zij zijn zo"""
    ),
    "sv": _words(
        """att av de dem den denna des det detta du där efter eller en ett från för ha hade han har hon hur i in inte
        jag kan man med men mot när och om på samt sig sin sina sitt ska som så till under ut vad var vara varför
        vem vi vid vilka vilken vilket än är över"""
    ),
    "da": _words(
        """af alle at blev bliver da de dem den denne der deres det dette du efter eller en er et fra for ham han har
        havde hun hvad hvem hvilke hvilken hvilket hvor hvordan hvorfor hvornår i ikke jeg kan man med men mod når og
        om op over på sig sin som så til ud under var ved vi"""
    ),
    "no": _words(
        """av at ble blir da de dem den denne der deres det dette du eller en er et etter fra for ham han har hadde hun
        hva hvem hvilke hvilken hvilket hvor hvordan hvorfor i ikke jeg kan man med men mot når og om opp over på seg
        sin som så til under ut var ved vi"""
    ),
    "fi": _words(
        """ei eli en että hän ja jo joka joiden jonka jos jossa jotka kanssa kuin kuinka kuka kun me mikä miksi milloin
        minkä missä mitkä mitä mukaan mutta myös ne niiden niin nyt oli olivat olla on ovat se sekä sen siitä sitä tai
        tämä tämän vaan voi"""
    ),
    "pl": _words(
        """a ale być był była było były co czy dla do gdy gdzie go i ich ile jak jaka jaki jakie jako jego jej jest już
        kiedy kto które która który których lub ma na nie o od oraz po pod przez przy się są ta tak tego tej ten to tym
        w we z za ze że"""
    ),
    "cs": _words(
        """a aby ale ani bez bude by byl byla byli bylo být co do i jak jako je jeho její jejich jen jsou již k kde
        kdo kdy když ke která které který mezi na nad nebo než o od po pod podle pro proč proti při s se si tak také
        ten to u v ve z za ze že"""
    ),
    "hu": _words(
        """a az azt be csak de egy el ez ezt fel hogy hol is kell ki le lehet meg mely melyek mert mi miért mikor milyen
        mint már más még nem pedig s szerint vagy van vannak volt voltak után és által"""
    ),
    "ro": _words(
        """a ai al ale am ar au ca care ce cei cel cele cu cum când câte cât cine de din după este fi fost i în între
        la lui mai nu o pe pentru prin s sa sau se și sunt său un unde unei unui va ţi şi"""
    ),
    "tr": _words(
        """ama ancak bir bu da daha de değil en gibi hangi hem her için ile ise kadar ki kim mi mu mü mı nasıl ne neden
        nerede o olan olarak oldu olduğu on sonra ve veya ya çok"""
    ),
}
OTHER_FUNCTION_WORDS = _words(
    """أن أو أي أين إلى إن التي الذي الذين ان او اي اين الى بعد بعض بين تلك ثم حتى ذلك على عن عند غير في قبل قد كان كانت
    كل كم كما كيف لا لقد لم لماذا لن ما ماذا متى مع من هذا هذه هل هم هو هي و وهو وهي يكون
    а без бы был была были было в во вот все где да для до его ее если есть еще же за и из или им их к как какая какие
    какой ко когда которая которые который кто ли мне мы на над не нет но о об он она они от по под при с со так также
    то у уже чем что чтобы эта эти это этот я
    αι αλλά από για δεν ή η θα και με μια να ο οι όταν πόσο ποια ποιες ποιο ποιοι ποιος πού πώς σε στη στην στο στον
    στους τα την της τι τις το τον του τους των ότι ως είναι ήταν"""
)
